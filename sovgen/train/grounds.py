"""Grounds: the named colours that pictures are laid on, and the laying.

Pictures are RGBA with straight alpha; a ground is a colour in sRGB, 0 .. 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

PALETTE: dict[str, tuple[int, int, int]] = {
    "white": (255, 255, 255),
    "black": (16, 16, 18),
    "gray": (150, 150, 155),
    "light gray": (225, 226, 230),
    "dark gray": (70, 72, 78),
    "red": (222, 50, 50),
    "light red": (248, 170, 165),
    "dark red": (130, 20, 30),
    "orange": (245, 145, 35),
    "light orange": (253, 208, 150),
    "yellow": (250, 215, 60),
    "light yellow": (254, 243, 180),
    "green": (60, 165, 80),
    "light green": (185, 230, 180),
    "dark green": (20, 85, 50),
    "teal": (30, 150, 150),
    "light teal": (170, 225, 222),
    "blue": (45, 105, 220),
    "light blue": (175, 212, 250),
    "dark blue": (20, 35, 100),
    "purple": (130, 70, 190),
    "light purple": (215, 195, 240),
    "dark purple": (65, 25, 105),
    "pink": (245, 130, 180),
    "light pink": (252, 208, 225),
    "brown": (130, 85, 50),
    "beige": (240, 226, 200),
    "navy": (18, 30, 70),
    "mint": (190, 240, 215),
    "cream": (255, 247, 225),
    "lavender": (220, 210, 248),
    "turquoise": (70, 205, 200),
}
NAMES = tuple(PALETTE)
JITTER = 8 / 255


@dataclass(frozen=True)
class Ground:
    """A colour with its name; `rgb` is within JITTER of the name's own, 0 .. 1."""

    name: str
    rgb: tuple[float, float, float]


def draw_ground(rng: np.random.Generator, white: float) -> Ground:
    """White with that probability, else any colour of the palette, slightly off."""
    if rng.random() < white:
        return Ground("white", (1.0, 1.0, 1.0))
    name = NAMES[rng.integers(len(NAMES))]
    rgb = np.array(PALETTE[name]) / 255 + rng.uniform(-JITTER, JITTER, 3)
    return Ground(name, tuple(rgb.clip(0, 1).tolist()))


def nearest_ground(rgb: NDArray[np.float32]) -> str:
    """The name of the palette's colour closest to `rgb` (3,), 0 .. 1."""
    table = np.array(list(PALETTE.values()), np.float32) / 255
    return NAMES[int(((table - rgb) ** 2).sum(1).argmin())]


def laid_on(rgba: NDArray[np.uint8], grounds: list[Ground]) -> Tensor:
    """Pictures (n, h, w, 4) on their grounds: (n, 3, h, w), 0 .. 1."""
    x = torch.from_numpy(np.array(rgba)).permute(0, 3, 1, 2).float() / 255
    ground = torch.tensor([g.rgb for g in grounds])[:, :, None, None]
    return x[:, :3] * x[:, 3:] + ground * (1 - x[:, 3:])
