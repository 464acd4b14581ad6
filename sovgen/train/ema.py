"""Ema: an exponential moving average of weights, the ones that are kept and shown.

Its half-life is counted in samples, not steps, and is ramped up from the start, so that early
weights are forgotten (Karras et al. 2022, arXiv:2206.00364, and its published training code).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

RAMP_UP = 0.05


class Ema:
    """Averages of tensors by name; `half_life` is in samples, 0 keeps the newest weights."""

    def __init__(self, tensors: Mapping[str, Tensor], half_life: float) -> None:
        self.half_life = half_life
        self.averages = {name: w.detach().clone() for name, w in tensors.items()}

    @torch.no_grad()
    def update(self, tensors: Mapping[str, Tensor], samples: int, seen: int) -> None:
        """Takes in weights that saw `samples` more since the last update, `seen` in all."""
        life = max(min(self.half_life, seen * RAMP_UP), 1e-8)
        weight = 1 - 0.5 ** (samples / life)
        real = [n for n, w in tensors.items() if w.is_floating_point()]
        torch._foreach_lerp_(
            [self.averages[n] for n in real], [tensors[n].detach() for n in real], weight
        )
        for name in tensors.keys() - set(real):
            self.averages[name].copy_(tensors[name])

    @contextmanager
    def shown_in(self, tensors: Mapping[str, Tensor]) -> Iterator[None]:
        """For as long as the block runs, the model that owns `tensors` has the averages."""
        kept = {name: w.detach().clone() for name, w in tensors.items()}
        _put(tensors, self.averages)
        try:
            yield
        finally:
            _put(tensors, kept)


@torch.no_grad()
def _put(tensors: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    for name, w in tensors.items():
        w.copy_(values[name])
