"""Halves: guidance that is changed after both its halves were computed, and not before.

Beside a ControlNet or an IP-Adapter diffusers' pipelines settle once, for all steps, how many rows
there are and how strong guidance is; theirs, and those of SD 3, PixArt and Sana, know no rescaling.
There the answer is corrected on its way to the scheduler: outside of the interval it is that of the
prompted half. Nothing is saved by that; the picture is the same. CFG++ is handed the negative half
too, and guidance in twelfths and a half, as AUTOMATIC1111 counts it. Knows nothing of texts or
pixels.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sovgen.generate.steering import Interval, by_halves, counted, rescales_itself

if TYPE_CHECKING:
    from torch import Tensor, nn

    from sovgen.recipe import Recipe


# What has a guidance of 1 in Chung et al. 2024 (CFG++), arXiv:2406.08070.
_WHOLE = 12.5
# An answer, and what the scheduler is given with it.
Answer = tuple["Tensor", dict[str, "Tensor"]]


class Corrected:
    """A diffusers scheduler that is handed corrected answers; in all else the scheduler itself."""

    def __init__(self, scheduler: Any, correct: Callable[[Tensor], Answer]) -> None:  # noqa: ANN401
        self._scheduler = scheduler
        plain = scheduler.step

        # The pipeline looks into the signature for what it may pass.
        @functools.wraps(plain)
        def step(answer: Tensor, *args: Any, **given: Any) -> Any:  # noqa: ANN401
            corrected, besides = correct(answer)
            return plain(corrected, *args, **given, **besides)

        self.step = step

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._scheduler, name)


@contextmanager
def corrected(pipe: Any, denoiser: nn.Module, recipe: Recipe) -> Iterator[Any]:  # noqa: ANN401
    """Within, what it gives takes a scheduler and gives the one to draw with."""
    interval = Interval.of(recipe) if by_halves(recipe) else Interval()
    apart = renoises(recipe)
    # The pipeline's own rescaling is lost where guidance is counted anew.
    rescale = None if rescales_itself(pipe, recipe) and not apart else recipe.guidance_rescale
    if interval == Interval() and not rescale and not apart:
        yield lambda scheduler: scheduler
        return
    seen: list[Tensor] = []
    taken = 0

    def keep(_: nn.Module, __: Any, output: Any) -> None:  # noqa: ANN401
        seen[:] = [output[0]]

    def correct(answer: Tensor) -> Answer:
        nonlocal taken
        taken += 1
        if len(seen[0]) == len(answer):
            return answer, {}
        # PixArt answers with variances behind the noise, which its pipeline leaves out.
        negative, prompted = (half[:, : answer.shape[1]].to(answer) for half in seen[0].chunk(2))
        if interval != Interval():
            before, total = counted(pipe, pipe.num_timesteps)
            if not interval.holds(before + taken - 1, total):
                return prompted, {}
        if apart:
            answer = negative + (recipe.guidance or 0) / _WHOLE * (prompted - negative)
        answer = _rescaled(answer, prompted, rescale) if rescale else answer
        return answer, {"unguided": negative} if apart else {}

    hook = denoiser.register_forward_hook(keep)
    try:
        yield lambda scheduler: Corrected(scheduler, correct)
    finally:
        hook.remove()


def renoises(recipe: Recipe) -> bool:
    """Whether its sampler takes the unguided answer beside the guided one."""
    return recipe.sampler == "ddim cfg++"


def _rescaled(answer: Tensor, prompted: Tensor, share: float) -> Tensor:
    from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg

    rescaled: Tensor = rescale_noise_cfg(answer, prompted, guidance_rescale=share)
    return rescaled
