"""Multistep: DPM++ 3M SDE, whose term of third order has the wrong sign in diffusers.

There the steps do not come to the right amount of noise: at 20 of Karras' the pictures' spread is a
tenth too large. Knows nothing of models; importing it imports torch.

Source: Lu et al. 2022 (DPM-Solver++), arXiv:2211.01095; the order and sign of the terms as in
`sample_dpmpp_3m_sde` of Crowson's k-diffusion.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import diffusers

_Parent: Any = diffusers.DPMSolverMultistepScheduler


class DPMSolverThirdSDEScheduler(_Parent):  # type: ignore[misc]
    """DPM-Solver++ (3M) with noise at every step; configured as SDE of order 3."""

    def multistep_dpm_solver_third_order_update(
        self,
        model_output_list: Sequence[Any],
        *,
        sample: Any,  # noqa: ANN401
        noise: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """The latents a level further down, from the last three predictions of the picture."""
        at = self.step_index
        levels = [self._sigma_to_alpha_sigma_t(self.sigmas[at - i]) for i in (-1, 0, 1, 2)]
        (alpha, sigma), (_, began) = levels[:2]
        lambdas = [a.log() - s.log() for a, s in levels]
        h, h1, h2 = (new - old for new, old in zip(lambdas[:-1], lambdas[1:], strict=True))
        newest, last, first = reversed(model_output_list[-3:])
        slope, before = (newest - last) * (h / h1), (last - first) * (h / h2)
        curve = (slope - before) * (h / (h1 + h2))
        slope = slope + curve * (h1 / h)
        fade = (-2 * h).exp()
        second = 1 - (1 - fade) / (2 * h)
        third = second / (2 * h) - 0.5
        predicted = (1 - fade) * newest + second * slope - third * curve
        kept = (sigma / began * (-h).exp()) * sample
        return kept + alpha * predicted + sigma * (1 - fade).sqrt() * noise
