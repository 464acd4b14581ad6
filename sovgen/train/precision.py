"""Precision: passes that nobody trains on, in bfloat16 where the device computes in it.

Elsewhere bfloat16 is emulated: on a CPU without AVX512_BF16 or AMX torch takes its reference
kernels, by which encoding one picture took 0.4 s.
"""

from __future__ import annotations

import torch

from sovgen.models.device import choose_place


def cheap_passes(device: str) -> torch.autocast:
    """A context for passes without gradients on that device (`cpu`, `cuda:1`)."""
    able = choose_place(device).dtype == "bfloat16"
    return torch.autocast(torch.device(device).type, torch.bfloat16, enabled=able)
