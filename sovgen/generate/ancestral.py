"""Ancestral: DPM++ 2S a, which diffusers does not have, out of DPM2 a, which it has.

Both go halfway to the level below, ask there, and take the whole step from where they began, with
noise to make up for going too far. They differ in the slope of that step alone. Knows nothing of
models; importing it imports torch.

Source: Lu et al. 2022 (DPM-Solver++), arXiv:2211.01095, ancestral as in Karras et al. 2022's code.
"""

from __future__ import annotations

from typing import Any

import diffusers

_Parent: Any = diffusers.KDPM2AncestralDiscreteScheduler


class DPM2SAncestralScheduler(_Parent):  # type: ignore[misc]
    """DPM-Solver++ (2S) with ancestral noise; two evaluations a step, like its parent."""

    def step(
        self,
        model_output: Any,  # noqa: ANN401
        timestep: Any,  # noqa: ANN401
        sample: Any,  # noqa: ANN401
        generator: Any = None,  # noqa: ANN401
        return_dict: bool = True,
    ) -> Any:  # noqa: ANN401
        """The parent's step; the second half of one along the slope to what it predicts."""
        if self.step_index is None or self.state_in_first_order:
            return super().step(model_output, timestep, sample, generator, return_dict)
        began, at = self.sample, self.step_index - 1
        sigma, between, down = self.sigmas[at], self.sigmas_interpol[at], self.sigmas_down[at]
        theirs = super().step(model_output, timestep, sample, generator)
        predicted = theirs.pred_original_sample
        turned = (began - predicted) / sigma - (sample - predicted) / between
        theirs.prev_sample = theirs.prev_sample + turned * (down - sigma)
        return theirs if return_dict else (theirs.prev_sample, predicted)
