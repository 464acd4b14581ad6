"""Halves: guidance that is changed after both its halves were computed, and not before.

Beside a ControlNet or an IP-Adapter diffusers' pipelines settle once, for all steps, how many rows
there are and how strong guidance is; theirs, and those of SD 3, PixArt and Sana, know no rescaling.
There the answer is corrected on its way to the scheduler: outside of the interval it is that of the
prompted half. Nothing is saved by that; the picture is the same. Knows nothing of texts or pixels.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sovgen.generate.steering import Interval, by_halves, counted, rescales_itself

if TYPE_CHECKING:
    from torch import Tensor, nn

    from sovgen.recipe import Recipe


class Corrected:
    """A diffusers scheduler that is handed corrected answers; in all else the scheduler itself."""

    def __init__(self, scheduler: Any, correct: Any) -> None:  # noqa: ANN401
        self._scheduler = scheduler
        plain = scheduler.step

        # The pipeline looks into the signature for what it may pass.
        @functools.wraps(plain)
        def step(answer: Tensor, *args: Any, **given: Any) -> Any:  # noqa: ANN401
            return plain(correct(answer), *args, **given)

        self.step = step

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._scheduler, name)


@contextmanager
def corrected(pipe: Any, denoiser: nn.Module, recipe: Recipe) -> Iterator[Any]:  # noqa: ANN401
    """Within, what it gives takes a scheduler and gives the one to draw with."""
    interval = Interval.of(recipe) if by_halves(recipe) else Interval()
    rescale = None if rescales_itself(pipe, recipe) else recipe.guidance_rescale
    if interval == Interval() and not rescale:
        yield lambda scheduler: scheduler
        return
    seen: list[Tensor] = []
    taken = 0

    def keep(_: nn.Module, __: Any, output: Any) -> None:  # noqa: ANN401
        seen[:] = [output[0]]

    def correct(answer: Tensor) -> Tensor:
        nonlocal taken
        taken += 1
        if len(seen[0]) == len(answer):
            return answer
        # PixArt answers with variances behind the noise, which its pipeline leaves out.
        prompted = seen[0].chunk(2)[1][:, : answer.shape[1]].to(answer)
        if interval != Interval():
            before, total = counted(pipe, pipe.num_timesteps)
            if not interval.holds(before + taken - 1, total):
                return prompted
        return _rescaled(answer, prompted, rescale) if rescale else answer

    hook = denoiser.register_forward_hook(keep)
    try:
        yield lambda scheduler: Corrected(scheduler, correct)
    finally:
        hook.remove()


def _rescaled(answer: Tensor, prompted: Tensor, share: float) -> Tensor:
    from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg

    rescaled: Tensor = rescale_noise_cfg(answer, prompted, guidance_rescale=share)
    return rescaled
