"""Phash: 64 bits that say how light is spread over a picture, whatever its size and its file.

The low frequencies of a 32 x 32 reduction's cosine transform, each above or below their median
(Zauner, Implementation and benchmarking of perceptual image hash functions, 2010). Pictures that
were encoded again or resized differ in a few bits, unrelated ones in half of them.
This file knows no library.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SIDE = 32
_LOW = 8


def phash(image: Image.Image) -> int:
    """The 64 bits of an RGB or RGBA image; what is transparent counts as white."""
    grey = on_white(image).convert("L")
    small = grey.resize((_SIDE, _SIDE), Image.Resampling.LANCZOS, reducing_gap=2.0)
    low = _cosines() @ np.asarray(small, np.float32) @ _cosines().T
    # the first is the mean brightness: it says nothing of how the light is spread
    bits = low.ravel() > np.median(low.ravel()[1:])
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def on_white(image: Image.Image) -> Image.Image:
    """The image in RGB; white shows through where it is transparent."""
    if image.mode == "RGB":
        return image
    ground = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(ground, image.convert("RGBA")).convert("RGB")


@cache
def _cosines() -> NDArray[np.float32]:
    """The 8 slowest rows of the 32-point cosine transform (8, 32)."""
    places, waves = np.arange(_SIDE), np.arange(_LOW)[:, None]
    return np.cos(np.pi * (2 * places + 1) * waves / (2 * _SIDE)).astype(np.float32)
