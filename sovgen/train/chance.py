"""Chance: the randomness of one training step, a function of (seed, step, rank) and nothing else.

No generator's state is carried from step to step, so there is none to save and none to lose: a
training that was killed draws the very same batches, noise and dropout when it goes on. Drawn on
the CPU, so that a device does not change what is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class Chance:
    """Two generators for one step: `numpy` draws indices and words, `torch` draws tensors."""

    numpy: np.random.Generator
    torch: torch.Generator


def chance(seed: int, step: int, rank: int = 0) -> Chance:
    """The randomness of that step on that rank. Also seeds torch's own, for dropout in models."""
    sequence = np.random.SeedSequence((seed, step, rank))
    first, second = (int(s) for s in sequence.generate_state(2, np.uint64) >> np.uint64(1))
    torch.manual_seed(first)
    return Chance(np.random.default_rng(sequence), torch.Generator().manual_seed(second))
