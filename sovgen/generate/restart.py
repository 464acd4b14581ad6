"""Restart: Heun's steps that go back into the noise near the end, and come down once more.

The noise that is added on the way up makes up for errors of the way before. How many of the steps
go there is AUTOMATIC1111's: none of fewer than 20, then 9, from 36 on twice a quarter. The first
way down follows the schedule, a restart Karras' levels. Knows nothing of models; importing it
imports torch.

Source: Xu et al. 2023, arXiv:2306.14878.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import diffusers
import numpy as np
import torch
from diffusers.utils.torch_utils import randn_tensor

_Parent: Any = diffusers.HeunDiscreteScheduler
# A restart leads from the level nearest to the one up to the level nearest to the other.
_CLEAN, _NOISY = 0.1, 2.0
_RHO = 7.0


class RestartScheduler(_Parent):  # type: ignore[misc]
    """Heun with restarts; two evaluations a step, like its parent, but for the last one's one."""

    sigmas: Any
    timesteps: Any

    def set_timesteps(
        self,
        num_inference_steps: int,
        device: Any = None,  # noqa: ANN401
        num_train_timesteps: int | None = None,
    ) -> None:
        """As the parent's, with the restarts among the steps."""
        length, times = restarts(num_inference_steps)
        first = num_inference_steps - length * times
        super().set_timesteps(first, device, num_train_timesteps)
        if not times:
            return
        down = np.stack([self.sigmas[::2].double(), self.timesteps[::2].cpu().double()], axis=1)
        clean, noisy = (int(np.abs(down[:, 0] - level).argmin()) for level in (_CLEAN, _NOISY))
        if noisy >= clean:
            super().set_timesteps(num_inference_steps, device, num_train_timesteps)
            return
        again = self._again(down[noisy], down[clean], length)
        ways = [down[: clean + 1], *[again] * times, down[clean:]]
        self._follow([*(row for way in ways for step in pairwise(way) for row in step), down[-1]])
        self.timesteps = self.timesteps.to(device)
        self.num_inference_steps = num_inference_steps

    def _again(self, most: Any, least: Any, steps: int) -> Any:  # noqa: ANN401
        """(steps + 1, 2): Karras' levels from the one to the other, each with its timestep."""
        roots = np.linspace(most[0] ** (1 / _RHO), least[0] ** (1 / _RHO), steps + 1)
        kept = self.alphas_cumprod.double().numpy()
        trained = np.log(((1 - kept) / kept) ** 0.5)
        between = [(sigma, self._sigma_to_t(sigma, trained)) for sigma in roots[1:-1] ** _RHO]
        return np.array([most, *between, least])

    def _follow(self, rows: Any) -> None:  # noqa: ANN401
        """Evaluate at these levels and timesteps in turn, two a step but for the last."""
        levels = torch.from_numpy(np.array(rows)).float()
        self.sigmas = torch.cat([levels[:, 0], levels.new_zeros(1)])
        self.timesteps = levels[:, 1]

    def step(
        self,
        model_output: Any,  # noqa: ANN401
        timestep: Any,  # noqa: ANN401
        sample: Any,  # noqa: ANN401
        generator: Any = None,  # noqa: ANN401
        return_dict: bool = True,
    ) -> Any:  # noqa: ANN401
        """The parent's step; one that ends below a restart is followed by the noise of it."""
        theirs = super().step(model_output, timestep, sample)
        reached, onward = self.sigmas[self.step_index - 1], self.sigmas[self.step_index]
        if self.state_in_first_order and onward > reached:
            made = theirs.prev_sample
            noise = randn_tensor(made.shape, generator, made.device, made.dtype)
            theirs.prev_sample = made + noise * (onward**2 - reached**2) ** 0.5
        return theirs if return_dict else (theirs.prev_sample, theirs.pred_original_sample)


def restarts(steps: int) -> tuple[int, int]:
    """How many of so many steps a restart takes, and how many restarts there are."""
    if steps < 20:
        return 0, 0
    return (9, 1) if steps < 36 else (steps // 4, 2)
