"""Beginning: drawing that sets out from a picture, not from noise alone.

The steps are those of diffusers' image-to-image: of n steps the last int(n * strength) are taken,
from the source noised as the first of them expects it. Where there is a mask, what it protects is
put back, noised, after every step, as diffusers' inpainting does for a denoiser of four channels.
Being a scheduler that begins late, it serves every pipeline that draws from words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sovgen.samplers import is_flow

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

    @property
    def flow_sigma(self) -> Tensor | None:
        """For schedulers that follow a flow the share of noise at each of `timesteps`, then 0."""
        if not is_flow(type(self._scheduler).__name__, self._scheduler.config):
            return None
        return self._scheduler.sigmas[self._first :]  # type: ignore[no-any-return]

    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: Any = None,  # noqa: ANN401
        sigmas: Sequence[float] | None = None,
        **given: Any,  # noqa: ANN401
    ) -> None:
        """As the scheduler's own; then begin late."""
        if sigmas is not None:
            given["sigmas"] = sigmas
            num_inference_steps = len(sigmas)
        self._scheduler.set_timesteps(num_inference_steps, device=device, **given)
        steps = num_inference_steps or 0
        taken = min(int(steps * self._strength), steps)
        self._first = (steps - taken) * self._scheduler.order
        if hasattr(self._scheduler, "set_begin_index"):
            self._scheduler.set_begin_index(self._first)


@dataclass(frozen=True)
class Beginning:
    """Where a batch sets out from.

    ground: its canvas; noise: (n, channels, height / cell, width / cell), unit; steps: of the whole
    way; whole: the whole of the way is gone; given: what the pipeline sets its steps with besides
    """

    scheduler: Late
    ground: Ground
    noise: Tensor
    steps: int
    whole: bool
    given: Mapping[str, Any] = field(default_factory=dict)

    def latents(self) -> Tensor:
        """What the pipeline, which scales it, takes for noise."""
        self.scheduler.set_timesteps(self.steps, device=self.noise.device, **self.given)
        if self.whole and self.ground.mask is not None:
            return self.noise
        # Those that follow a flow have no scale.
        return self._noised(0) / getattr(self.scheduler, "init_noise_sigma", 1.0)

    def put_back(self, index: int, latents: Tensor) -> Tensor:
        """The latents after step `index`, from 0, with what the mask protects as it should be.

        A model that is shown what is around the mask keeps to that by itself.
        """
        mask = self.ground.mask
        if mask is None or self.ground.around is not None:
            return latents
        is_last = index + 1 == len(self.scheduler.timesteps)
        source = self.ground.latents if is_last else self._noised(index + 1)
        return (1 - mask) * source + mask * latents

    def _noised(self, index: int) -> Tensor:
        when = self.scheduler.timesteps[index].repeat(len(self.noise))
        source = self.ground.latents.expand_as(self.noise)
        if (sigma := self.scheduler.flow_sigma) is not None:
            return sigma[index] * self.noise + (1 - sigma[index]) * source
        return self.scheduler.add_noise(source, self.noise, when)  # type: ignore[no-any-return]
