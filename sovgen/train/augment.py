"""Augment: pictures as a person might draw them differently, for the image tower.

All take and give premultiplied RGBA of shape (n, 4, s, s), 0 .. 1, and draw from the generator
given: turned, scaled, moved and mirrored; outlined; faded; with its colours swapped.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def moved(x: Tensor, mirror: Tensor, rng: torch.Generator) -> Tensor:
    """Scaled 0.63 .. 1.18 times, turned by about 7 degrees, shifted; mirrored if it may be (n,)."""
    n = len(x)
    scale = torch.empty(n).uniform_(0.85, 1.6, generator=rng)
    angle = torch.randn(n, generator=rng) * 0.12
    flip = torch.where((torch.rand(n, generator=rng) < 0.5) & mirror, -1.0, 1.0)
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0], theta[:, 0, 1] = scale * angle.cos() * flip, -scale * angle.sin()
    theta[:, 1, 0], theta[:, 1, 1] = scale * angle.sin() * flip, scale * angle.cos()
    theta[:, :, 2] = torch.randn(n, 2, generator=rng) * 0.12 * scale[:, None]
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, align_corners=False)


def outlined(x: Tensor, share: float, rng: torch.Generator) -> Tensor:
    """A dark rim of one pixel around that share of them: a style that few sets have."""
    chosen = torch.rand(len(x), 1, 1, 1, generator=rng) < share
    alpha = x[:, 3:]
    rim = (F.max_pool2d(alpha, 3, 1, 1) - alpha).clamp(0, 1) * chosen
    return torch.cat([x[:, :3], alpha + rim * (1 - alpha)], dim=1)


def faded(x: Tensor, share: float, rng: torch.Generator) -> Tensor:
    """That share of them part of the way to grey."""
    n = len(x)
    chosen = torch.rand(n, 1, 1, 1, generator=rng) < share
    grey = torch.rand(n, 1, 1, 1, generator=rng) * chosen
    rgb = x[:, :3]
    return torch.cat([rgb * (1 - grey) + rgb.mean(1, keepdim=True) * grey, x[:, 3:]], dim=1)


def recoloured(x: Tensor, share: float, rng: torch.Generator) -> Tensor:
    """The colour channels of that share of them swapped, all in one way."""
    chosen = torch.rand(len(x), 1, 1, 1, generator=rng) < share
    order = torch.randperm(3, generator=rng)
    return torch.cat([torch.where(chosen, x[:, :3][:, order], x[:, :3]), x[:, 3:]], dim=1)


def on_ground(x: Tensor, ground: Tensor, rng: torch.Generator) -> Tensor:
    """On grounds (n, 3), each a little off, in a light a little off: (n, 3, s, s), 0 .. 1."""
    n = len(x)
    shade = torch.randn(n, 3, 1, 1, generator=rng) * 0.02
    y = x[:, :3] + (ground[:, :, None, None] + shade) * (1 - x[:, 3:])
    gain = torch.empty(n, 1, 1, 1).uniform_(0.85, 1.12, generator=rng)
    return (y * gain + torch.randn(n, 3, 1, 1, generator=rng) * 0.02).clamp(0, 1)
