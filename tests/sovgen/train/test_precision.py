"""Passes without gradients are rounded where that is fast, and only there."""

from __future__ import annotations

import torch

from sovgen.models.device import choose_place
from sovgen.train.precision import cheap_passes


def test_a_cpu_computes_in_what_it_has_instructions_for() -> None:
    rows = torch.ones(4, 4)
    with cheap_passes("cpu"):
        product = rows @ rows
    assert product.dtype == getattr(torch, choose_place("cpu").dtype)
