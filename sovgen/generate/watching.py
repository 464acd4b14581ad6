"""Watching: what the denoiser is given and what it makes of it, at every step of a drawing.

A noisy latent is alpha * picture + sigma * noise. What the denoiser answers is the noise (epsilon),
a mixture of both (v: Salimans and Ho, 2202.00512), or the way from the one to the other (flow);
from each the picture that it sees in the noise follows. Knows nothing of pixels.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Moment:
    """One evaluation of the denoiser, for a batch.

    alpha, sigma: how much of the latent is picture, and how much noise
    noisy, predicted: (n, channels, height / cell, width / cell); what it was given, guidance aside,
    and the picture that its guided answer amounts to
    """

    alpha: float
    sigma: float
    noisy: Tensor
    predicted: Tensor

    @property
    def noise(self) -> float:
        """The noise's share of the variance, 0 .. 1."""
        return self.sigma**2 / (self.alpha**2 + self.sigma**2)


class Watched:
    """A diffusers scheduler whose every step is told; in all else the scheduler itself."""

    def __init__(self, scheduler: Any, on_moment: Callable[[Moment], None]) -> None:  # noqa: ANN401
        self._scheduler = scheduler
        self._on_moment = on_moment

        # The pipeline looks into the signature for what it may pass, such as a generator.
        @functools.wraps(scheduler.step)
        def step(answer: Any, timestep: Any, latents: Any, *args: Any, **given: Any) -> Any:  # noqa: ANN401
            self._tell(answer, timestep, latents)
            return scheduler.step(answer, timestep, latents, *args, **given)

        self.step = step

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._scheduler, name)

    def _tell(self, answer: Any, timestep: Any, latents: Any) -> None:  # noqa: ANN401
        noisy = latents
        if hasattr(self._scheduler, "scale_model_input"):
            noisy = self._scheduler.scale_model_input(latents, timestep)
        alpha, sigma = levels(self._scheduler, timestep)
        predicted = picture_in(noisy, answer, alpha, sigma, _kind(self._scheduler))
        self._on_moment(Moment(alpha, sigma, noisy, predicted))


def picture_in(noisy: Tensor, answer: Tensor, alpha: float, sigma: float, kind: str) -> Tensor:
    """The picture that an answer of that kind to a noisy latent amounts to."""
    if kind == "epsilon":
        return (noisy - sigma * answer) / alpha
    if kind == "v_prediction":
        return alpha * noisy - sigma * answer
    return noisy - sigma * answer if kind == "flow" else answer


def levels(scheduler: Any, timestep: Any) -> tuple[float, float]:  # noqa: ANN401
    """alpha and sigma of the latent that a step is about to be taken from."""
    if _kind(scheduler) == "flow":
        sigma = float(timestep) / scheduler.config.num_train_timesteps
        return 1 - sigma, sigma
    ratio = _ratio(scheduler, float(timestep))
    alpha = 0.0 if math.isinf(ratio) else 1 / math.sqrt(1 + ratio**2)
    return alpha, math.sqrt(1 - alpha**2)


def _kind(scheduler: Any) -> str:  # noqa: ANN401
    config = scheduler.config
    flows = not hasattr(scheduler, "alphas_cumprod") or config.get("use_flow_sigmas")
    return "flow" if flows else str(config.get("prediction_type", "epsilon"))


def _ratio(scheduler: Any, timestep: float) -> float:  # noqa: ANN401
    """sigma / alpha: as the sampler spaced it, or else as the weights were trained for it."""
    # Where every second step stands between two sigmas, only its timestep says where.
    if hasattr(scheduler, "sigmas") and not hasattr(scheduler, "sigmas_interpol"):
        index = scheduler.step_index
        return float(scheduler.sigmas[scheduler.begin_index or 0 if index is None else index])
    below = math.floor(timestep)
    above = min(below + 1, len(scheduler.alphas_cumprod) - 1)
    low, high = (_trained(scheduler, at) for at in (below, above))
    share = timestep - below
    return low if share == 0 else low ** (1 - share) * high**share


def _trained(scheduler: Any, timestep: int) -> float:  # noqa: ANN401
    kept = float(scheduler.alphas_cumprod[timestep])
    return math.sqrt((1 - kept) / kept) if kept > 0 else math.inf
