"""Slopes: IPNDM, which steps along those of the last four levels of noise.

The slope (x - predicted) / sigma is followed from level to level as a polynomial through the past
ones (Adams-Bashforth), of order 4 once there are so many; the first step and the one to no noise
are Euler's. Knows nothing of models; importing it imports torch.

Source: Zhang & Chen 2023, arXiv:2204.13902; for steps of varying length Zhou et al. 2024,
arXiv:2312.00094.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import diffusers
import numpy as np

_Parent: Any = diffusers.EulerDiscreteScheduler
_ORDER = 4


class AdamsBashforthScheduler(_Parent):  # type: ignore[misc]
    """IPNDM: weighs the slopes as if all steps had been of one length."""

    _slopes: tuple[Any, ...] = ()

    def set_timesteps(self, *args: Any, **given: Any) -> None:  # noqa: ANN401
        """As the parent's; what was passed before is forgotten."""
        super().set_timesteps(*args, **given)
        self._slopes = ()

    def step(
        self,
        model_output: Any,  # noqa: ANN401
        timestep: Any,  # noqa: ANN401
        sample: Any,  # noqa: ANN401
        return_dict: bool = True,
    ) -> Any:  # noqa: ANN401
        """The parent's step, along the mean of the slopes passed."""
        theirs = super().step(model_output, timestep, sample)
        at, below = self.step_index - 1, self.sigmas[self.step_index]
        sigma, predicted = self.sigmas[at], theirs.pred_original_sample
        slope = (sample.float() - predicted.float()) / sigma
        self._slopes = (slope, *self._slopes[: _ORDER - 1])
        if below > 0:
            shares = weights(self._passed(at))
            mean = sum(share * slope for share, slope in zip(shares, self._slopes, strict=True))
            moved = sample.float() + (below - sigma) * mean
            theirs.prev_sample = moved.to(model_output.dtype)
        return theirs if return_dict else (theirs.prev_sample, predicted)

    def _passed(self, at: int) -> list[float]:
        """Where the slopes were taken, the newest first, in steps behind it."""
        return [-float(i) for i in range(len(self._slopes))]


class VaryingAdamsBashforthScheduler(AdamsBashforthScheduler):
    """IPNDM_V: weighs the slopes by how far apart they are in sigma."""

    def _passed(self, at: int) -> list[float]:
        sigmas = self.sigmas.double()
        length = sigmas[at + 1] - sigmas[at]
        return [float((sigmas[at - i] - sigmas[at]) / length) for i in range(len(self._slopes))]


def weights(passed: Sequence[float]) -> list[float]:
    """The share of each slope in the step from 0 to 1: its Lagrange polynomial's integral."""
    shares = []
    for own in passed:
        others = [other for other in passed if other != own]
        # Of no roots the polynomial is a number to numpy, not a list of one.
        integral = np.polyval(np.polyint(np.atleast_1d(np.poly(others))), 1.0)
        shares.append(float(integral / np.prod([own - other for other in others])))
    return shares
