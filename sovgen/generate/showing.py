"""Showing: a denoiser made for inpainting sees the mask, and what is around it, at every step.

As in diffusers' inpainting pipelines these stand behind the latent among its channels; here they
are put there on the way in, so that the pipeline that draws from words serves such models too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sovgen.generate.encoding import Ground


@contextmanager
def showing(denoiser: Any, ground: Ground | None) -> Iterator[None]:  # noqa: ANN401
    """Within it the denoiser is shown the ground, if the ground has something `around` to show."""
    if ground is None or ground.mask is None or ground.around is None:
        yield
        return
    import torch

    shown = torch.cat([ground.mask, ground.around], dim=1)

    def show(_: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:  # noqa: ANN401
        latent, *rest = args
        beside = shown.to(latent).expand(len(latent), -1, -1, -1)
        return (torch.cat([latent, beside], dim=1), *rest)

    hook = denoiser.register_forward_pre_hook(show)
    try:
        yield
    finally:
        hook.remove()
