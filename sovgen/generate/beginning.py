"""Beginning: drawing that sets out from a picture, not from noise alone.

The steps are those of diffusers' image-to-image: of n steps the last int(n * strength) are taken,
from the source noised as the first of them expects it. Where there is a mask, what it protects is
put back, noised, after every step, as diffusers' inpainting does for a denoiser of four channels.
Being a scheduler that begins late, it serves every pipeline that draws from words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sovgen.samplers import is_flow

if TYPE_CHECKING:
    from torch import Tensor

    from sovgen.generate.encoding import Ground


class Late:
    """A diffusers scheduler of whose steps only some in a row are taken; in all else itself.

    strength: the first steps are left out, as in Recipe
    since, until: of the others those within this share of the noise schedule are taken, 0 .. 1
    """

    def __init__(
        self,
        scheduler: Any,  # noqa: ANN401
        strength: float = 1.0,
        since: float = 0.0,
        until: float = 1.0,
    ) -> None:
        self._scheduler = scheduler
        self._strength, self._since, self._until = strength, since, until
        self._begin = self._first = self._end = 0
        self._again_before = self._again_after = 0

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        found = getattr(self._scheduler, name)
        # Some pipelines say that their first step is the scheduler's first.
        return self._begin_behind(found) if name == "set_begin_index" else found

    def _begin_behind(self, set_begin_index: Callable[[int], None]) -> Callable[[int], None]:
        return lambda index: set_begin_index(index + self._first)

    @property
    def timesteps(self) -> Tensor:
        """Those that are taken. The scheduler within still counts them all."""
        return self._scheduler.timesteps[self._first : self._end]  # type: ignore[no-any-return]

    @property
    def onward(self) -> Tensor:
        """Those that are taken, and those that are left to another after them."""
        return self._scheduler.timesteps[self._first :]  # type: ignore[no-any-return]

    @property
    def before(self) -> int:
        """How many evaluations another has taken before."""
        return self._first - self._begin + self._again_before

    @property
    def total(self) -> int:
        """How many evaluations all take together."""
        others = self._again_before + self._again_after
        return len(self._scheduler.timesteps) - self._begin + others

    @property
    def flow_sigma(self) -> Tensor | None:
        """For schedulers that follow a flow the share of noise at each of `onward`, then 0."""
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
        self._begin = (steps - taken) * self._scheduler.order
        again = _takes_second_again(self._scheduler)
        if again:
            self._scheduler.timesteps = self._scheduler.timesteps.unique().flip(0)
        self._first = max(self._begin, self._gone(self._since))
        self._end = max(self._first, self._gone(self._until))
        if again:
            self._take_second_again()
        if hasattr(self._scheduler, "set_begin_index"):
            self._scheduler.set_begin_index(self._first)

    def _take_second_again(self) -> None:
        """Let the second of the steps that are taken come twice, and count those of the others."""
        import torch

        plain, first, end = self._scheduler.timesteps, self._first, self._end
        self._scheduler.timesteps = torch.cat([plain[: first + 2], plain[first + 1 :]])
        self._end += end - first > 1
        self._again_before = int(first - self._begin > 1)
        self._again_after = int(len(plain) - end > 1)

    def _gone(self, share: float) -> int:
        """Evaluations up to the last of that share of the noise schedule, whole steps each."""
        timesteps, order = self._scheduler.timesteps, int(self._scheduler.order)
        if share >= 1:
            return len(timesteps)
        trained = int(self._scheduler.config.num_train_timesteps)
        noisier = (timesteps >= round(trained * (1 - share))).nonzero()
        past = int(noisier[-1]) + 1 if share > 0 and len(noisier) else 0
        return min(-(-past // order) * order, len(timesteps))


def _takes_second_again(scheduler: Any) -> bool:  # noqa: ANN401
    """Whether it asks at its second step twice, as PLMS does to correct the first one."""
    return hasattr(scheduler, "step_plms") and bool(scheduler.config.skip_prk_steps)


@dataclass(frozen=True)
class Beginning:
    """Where a batch sets out from.

    ground: its canvas, None where it is but noise; noise: (n, channels, height / cell,
    width / cell), unit; steps: of the whole way; whole: the whole of the way is gone; given: what
    the pipeline sets its steps with besides; left: what another model has made of it already
    """

    scheduler: Late
    ground: Ground | None
    noise: Tensor
    steps: int
    whole: bool
    given: Mapping[str, Any] = field(default_factory=dict)
    left: Tensor | None = None

    def latents(self) -> Tensor:
        """What the pipeline, which scales it, takes for noise."""
        self.scheduler.set_timesteps(self.steps, device=self.noise.device, **self.given)
        begun = self.left
        if begun is None:
            if self.ground is None or (self.whole and self.ground.mask is not None):
                return self.noise
            begun = self._noised(0, self.ground)
        # Those that follow a flow have no scale.
        scaled: Tensor = begun / getattr(self.scheduler, "init_noise_sigma", 1.0)
        return scaled

    def put_back(self, index: int, latents: Tensor) -> Tensor:
        """The latents after step `index`, from 0, with what the mask protects as it should be.

        A model that is shown what is around the mask keeps to that by itself.
        """
        ground = self.ground
        if ground is None or ground.mask is None or ground.around is not None:
            return latents
        is_last = index + 1 == len(self.scheduler.onward)
        source = ground.latents if is_last else self._noised(index + 1, ground)
        return (1 - ground.mask) * source + ground.mask * latents

    def _noised(self, index: int, ground: Ground) -> Tensor:
        when = self.scheduler.onward[index].repeat(len(self.noise))
        source = ground.latents.expand_as(self.noise)
        if (sigma := self.scheduler.flow_sigma) is not None:
            return sigma[index] * self.noise + (1 - sigma[index]) * source
        return self.scheduler.add_noise(source, self.noise, when)  # type: ignore[no-any-return]
