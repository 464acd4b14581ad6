"""Beginning: drawing that sets out from a picture, not from noise alone.

The steps are those of diffusers' image-to-image: of n steps the last int(n * strength) are taken,
from the source noised as the first of them expects it. Where there is a mask, what it protects is
put back, noised, after every step, as diffusers' inpainting does for a denoiser of four channels.
Being a scheduler that begins late, it serves every pipeline that draws from words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from sovgen.generate.encoding import Ground


class Late:
    """A diffusers scheduler whose first steps are left out; in all else the scheduler itself."""

    def __init__(self, scheduler: Any, strength: float) -> None:  # noqa: ANN401
        self._scheduler = scheduler
        self._strength = strength
        self._first = 0

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._scheduler, name)

    @property
    def timesteps(self) -> Tensor:
        """Those that are taken. The scheduler within still counts them all."""
        return self._scheduler.timesteps[self._first :]  # type: ignore[no-any-return]

    def set_timesteps(self, num_inference_steps: int, **given: Any) -> None:  # noqa: ANN401
        """As the scheduler's own; then begin late."""
        self._scheduler.set_timesteps(num_inference_steps, **given)
        taken = min(int(num_inference_steps * self._strength), num_inference_steps)
        self._first = (num_inference_steps - taken) * self._scheduler.order
        if hasattr(self._scheduler, "set_begin_index"):
            self._scheduler.set_begin_index(self._first)


@dataclass(frozen=True)
class Beginning:
    """Where a batch sets out from.

    ground: its canvas; noise: (n, channels, height / cell, width / cell), unit; steps: of the whole
    way; whole: the whole of the way is gone
    """

    scheduler: Late
    ground: Ground
    noise: Tensor
    steps: int
    whole: bool

    def latents(self) -> Tensor:
        """What the pipeline, which scales it, takes for noise."""
        self.scheduler.set_timesteps(self.steps, device=self.noise.device)
        if self.whole and self.ground.mask is not None:
            return self.noise
        return self._noised(0) / self.scheduler.init_noise_sigma  # type: ignore[no-any-return]

    def put_back(self, index: int, latents: Tensor) -> Tensor:
        """The latents after step `index`, from 0, with what the mask protects as it should be."""
        mask = self.ground.mask
        if mask is None:
            return latents
        is_last = index + 1 == len(self.scheduler.timesteps)
        source = self.ground.latents if is_last else self._noised(index + 1)
        return (1 - mask) * source + mask * latents

    def _noised(self, index: int) -> Tensor:
        when = self.scheduler.timesteps[index].repeat(len(self.noise))
        source = self.ground.latents.expand_as(self.noise)
        return self.scheduler.add_noise(source, self.noise, when)  # type: ignore[no-any-return]
