"""Singlestep: DPM-Solver-fast, whose steps ask up to three times and forget what was before.

Of n evaluations as many as can be make steps of order 3, what is left makes shorter ones. All steps
are of one length in the logarithm of sigma, and so are the distances between the evaluations of
one. What begins within a step takes its rest as one of lower order. AUTOMATIC1111 adds noise here,
as of an ancestral sampler, unless its eta is set to 0; none is added here. Knows nothing of models;
importing it imports torch.

Source: Lu et al. 2022 (DPM-Solver), arXiv:2206.00927, algorithms 1 and 2 and appendix D.
"""

from __future__ import annotations

import math
from itertools import accumulate
from typing import Any

import diffusers
import torch

_Parent: Any = diffusers.EulerDiscreteScheduler


class DPMSolverFastScheduler(_Parent):  # type: ignore[misc]
    """DPM-Solver-fast from the model's noisiest level to its cleanest; one evaluation a step."""

    _began: Any = None
    _answers: tuple[Any, ...] = ()
    _orders: tuple[int, ...] = ()

    def set_timesteps(self, num_inference_steps: int, device: Any = None) -> None:  # noqa: ANN401
        """The parent's, along levels of its own."""
        kept = self.alphas_cumprod.double()
        ends = ((1 - kept) / kept).sqrt().log()
        self._orders = orders(num_inference_steps)
        mesh = torch.linspace(float(ends[-1]), float(ends[0]), len(self._orders) + 1).double()
        spans = zip(self._orders, mesh[:-1], mesh[1:], strict=True)
        logs = [high + (low - high) * i / n for n, high, low in spans for i in range(n)]
        sigmas = torch.stack([*logs, mesh[-1]]).exp().tolist()
        super().set_timesteps(sigmas=sigmas, device=device)
        self._answers = ()

    def step(
        self,
        model_output: Any,  # noqa: ANN401
        timestep: Any,  # noqa: ANN401
        sample: Any,  # noqa: ANN401
        return_dict: bool = True,
    ) -> Any:  # noqa: ANN401
        """To the level of the next evaluation, or after a step's last one to its end."""
        theirs = super().step(model_output, timestep, sample)
        at, predicted = self.step_index - 1, theirs.pred_original_sample
        if not self._answers:
            self._began = sample.float()
        answer = (sample.float() - predicted.float()) / self.sigmas[at]
        self._answers = (*self._answers, answer)
        theirs.prev_sample = self._reached(at).to(model_output.dtype)
        if at + 1 == self._end(at):
            self._answers = ()
        return theirs if return_dict else (theirs.prev_sample, predicted)

    def _end(self, at: int) -> int:
        """Where the step of that evaluation ends."""
        return next(end for end in accumulate(self._orders) if end > at)

    def _reached(self, at: int) -> Any:  # noqa: ANN401
        """The latents at the level behind that evaluation, from where its step began."""
        taken, first = len(self._answers), self._answers[0]
        above, below = float(self.sigmas[at + 1 - taken]), float(self.sigmas[at + 1])
        h = math.log(above / below)
        whole = math.expm1(h)
        reached = self._began - below * whole * first
        if taken == 1:
            return reached
        # The newest answer stands at this share of the way from where the step began.
        share = (taken - 1) / taken
        is_middle = taken == 2 and self._end(at) > at + 1
        slope = whole / h - 1 if taken == 3 or is_middle else whole / 2
        return reached - below * slope / share * (self._answers[-1] - first)


def orders(evaluations: int) -> tuple[int, ...]:
    """The orders of the steps that ask so often together: 3 as often as can be, the rest behind."""
    threes, rest = divmod(evaluations, 3)
    if rest:
        return (*[3] * threes, rest)
    return (*[3] * (threes - 1), 2, 1)
