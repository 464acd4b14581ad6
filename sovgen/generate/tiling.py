"""Tiling: a large picture worked on piece by piece, so that the pieces leave no seam.

Tiles overlap, and where they do each counts the less the nearer its own edge is. Knows boxes and
pixels; knows nothing of models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

# Neighbours share a third of a tile, or more where they do not divide the side evenly.
_SHARED = 3


@dataclass(frozen=True)
class Box:
    """left, top, right, bottom in pixels, as Pillow has them."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def corners(self) -> tuple[int, int, int, int]:
        """As a tuple."""
        return self.left, self.top, self.right, self.bottom

    def scaled(self, by: float) -> Box:
        """The same piece of a picture so many times as large."""
        return Box(*(round(side * by) for side in self.corners))


def tiles(size: tuple[int, int], side: int, grid: int) -> list[Box]:
    """Boxes of at most side x side that cover a picture; every corner is on the grid.

    size: width and height in pixels, multiples of grid
    """
    side = max(grid, side // grid * grid)
    across, down = (_places(length, side, grid) for length in size)
    ends = min(side, size[0]), min(side, size[1])
    return [Box(x, y, x + ends[0], y + ends[1]) for y, x in product(down, across)]


def _places(length: int, side: int, grid: int) -> list[int]:
    """Where tiles begin: evenly apart, the first at 0, the last ending at the edge."""
    if length <= side:
        return [0]
    step = max(grid, (side - side // _SHARED) // grid * grid)
    count = -(-(length - side) // step) + 1
    last = length - side
    return [round(last * n / (count - 1) / grid) * grid for n in range(count)]


def blend(
    size: tuple[int, int], boxes: Sequence[Box], pieces: Sequence[Image.Image]
) -> Image.Image:
    """The RGB picture that the pieces make together."""
    import numpy as np
    from PIL import Image

    total = np.zeros((size[1], size[0], 3))
    weights = np.zeros((size[1], size[0], 1))
    for box, piece in zip(boxes, pieces, strict=True):
        weight = _weight(box, size)
        place = slice(box.top, box.bottom), slice(box.left, box.right)
        total[place] += np.asarray(piece.convert("RGB")) * weight
        weights[place] += weight
    return Image.fromarray(np.round(total / weights).astype(np.uint8))


def _weight(box: Box, size: tuple[int, int]) -> NDArray[np.float64]:
    """(height, width, 1): 1 in the middle, falling towards edges that are not the picture's."""
    across = _ramp(box.left, box.right, size[0])
    down = _ramp(box.top, box.bottom, size[1])
    return (down[:, None] * across[None, :])[..., None]


def _ramp(begin: int, end: int, length: int) -> NDArray[np.float64]:
    import numpy as np

    fade = max(1, (end - begin) // _SHARED)
    rising = (np.arange(end - begin) + 0.5) / fade
    low = rising if begin > 0 else np.ones(end - begin)
    high = rising[::-1] if end < length else np.ones(end - begin)
    # smooth at both ends, so that not even the slope shows
    linear = np.clip(np.minimum(low, high), 0, 1)
    return np.asarray(linear * linear * (3 - 2 * linear))
