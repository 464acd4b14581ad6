"""Manifold: DDIM with CFG++, which puts back the noise of the unguided answer.

The picture is predicted by the guided answer, as in DDIM: guidance changes the picture, and the
noise it leaves alone. `sovgen.generate.halves` sees to both answers. Knows nothing of models;
importing it imports torch.

Source: Chung et al. 2024, arXiv:2406.08070, algorithm 2.
"""

from __future__ import annotations

from typing import Any

import diffusers

_Parent: Any = diffusers.DDIMScheduler


class DDIMManifoldScheduler(_Parent):  # type: ignore[misc]
    """DDIM CFG++ where it is handed two answers, and DDIM where it is handed one."""

    def step(
        self,
        model_output: Any,  # noqa: ANN401
        timestep: Any,  # noqa: ANN401
        sample: Any,  # noqa: ANN401
        return_dict: bool = True,
        unguided: Any = None,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """The parent's step by the unguided answer, with the picture of the guided one in it."""
        theirs = super().step(model_output, timestep, sample)
        predicted = theirs.pred_original_sample
        if unguided is not None:
            plain = super().step(unguided, timestep, sample)
            share = self._kept(timestep) ** 0.5
            theirs.prev_sample = plain.prev_sample + share * (
                predicted - plain.pred_original_sample
            )
        return theirs if return_dict else (theirs.prev_sample, predicted)

    def _kept(self, timestep: Any) -> Any:  # noqa: ANN401
        """How much of the variance is the picture's after the step."""
        below = timestep - self.config.num_train_timesteps // self.num_inference_steps
        return self.alphas_cumprod[below] if below >= 0 else self.final_alpha_cumprod
