"""Overlay: two pictures laid over each other, and how much they differ where they differ most.

One may be the other with a few per cent of its edges cut off. So a stretch and a shift along each
axis are sought that lay them over each other best, by Gauss-Newton steps on blurred brightness
(Lucas and Kanade, 1981). What is left is compared in colour and locally: another face on the same
body moves few pixels of many, but those by a lot. This file knows no library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from PIL import Image

from index.phash import on_white

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels: TypeAlias = NDArray[np.float32]
    Mask: TypeAlias = NDArray[np.bool_]

SIDE = 64
_MIDDLE = (SIDE - 1) / 2
_WINDOW = 5
_STEPS = 12
_SETTLED = 0.02
# How far one may be stretched, and shifted in pixels of 64: more than 6 % cut off is no small cut.
_MOST = np.array([0.1, 6.0, 0.1, 6.0])
_ACROSS = np.tile(np.arange(SIDE, dtype=np.float32) - np.float32(_MIDDLE), (SIDE, 1))
# At the edges the blur has seen what is not there.
_INNER = np.maximum(abs(_ACROSS), abs(_ACROSS.T)) < _MIDDLE - 1.5


def reduced(image: Image.Image) -> Pixels:
    """An image as (64, 64, 3), 0..255, for `difference`."""
    small = on_white(image).resize((SIDE, SIDE), Image.Resampling.LANCZOS, reducing_gap=2.0)
    return np.asarray(small, np.float32)


def difference(one: Pixels, other: Pixels) -> float:
    """The largest local difference, 0..255, between two `reduced` pictures laid over each other.

    Local: the mean of 5 x 5 pixels of one colour.
    """
    straight = _left(one, other, np.zeros(4))
    there = _left(one, other, _laid_over(one, other))
    back = _left(other, one, _laid_over(other, one))
    return min(straight, there, back)


def _laid_over(one: Pixels, other: Pixels) -> NDArray[np.float64]:
    """Stretch and shift along x, then along y, that bring one over the other."""
    source, target = (_blurred(p.mean(2, keepdims=True)) for p in (one, other))
    pose = np.zeros(4)
    for _ in range(_STEPS):
        moved, seen = _moved(source, pose)
        down, across = np.gradient(moved[..., 0])
        slopes = np.stack((across * _ACROSS, across, down * _ACROSS.T, down)).reshape(4, -1)
        step = _least_squares(slopes * (seen & _INNER).ravel(), (target - moved).ravel())
        pose = np.clip(pose + step, -_MOST, _MOST)
        if (abs(step) < _SETTLED * _MOST / _MOST[1]).all():
            break
    return pose


def _least_squares(slopes: Pixels, left: Pixels) -> NDArray[np.float64]:
    """Damped, since a picture of one colour, or of stripes, fits in many poses."""
    square = (slopes @ slopes.T).astype(np.float64)
    damping = (1e-3 * np.trace(square) / 4 + 1e-6) * np.eye(4)
    return np.linalg.solve(square + damping, slopes @ left)


def _left(one: Pixels, other: Pixels, pose: NDArray[np.float64]) -> float:
    moved, seen = _moved(one, pose)
    return float(abs(_blurred(moved - other)).max(2)[seen].max())


def _moved(pixels: Pixels, pose: NDArray[np.float64]) -> tuple[Pixels, Mask]:
    """The picture stretched and shifted, by linear interpolation, and where it is to be seen."""
    columns, near_column, column_seen = _between(pose[0], pose[1])
    rows, near_row, row_seen = _between(pose[2], pose[3])
    near_row, near_column = near_row[:, None, None], near_column[None, :, None]
    down = pixels[rows] * (1 - near_row) + pixels[rows + 1] * near_row
    moved = down[:, columns] * (1 - near_column) + down[:, columns + 1] * near_column
    return np.asarray(moved, np.float32), row_seen[:, None] & column_seen[None, :]


def _between(stretch: float, shift: float) -> tuple[NDArray[np.intp], Pixels, Mask]:
    """For each place of an axis: the place it comes from, the part of the next, whether inside."""
    place = (1 + stretch) * (np.arange(SIDE) - _MIDDLE) + shift + _MIDDLE
    first = np.clip(np.floor(place).astype(np.intp), 0, SIDE - 2)
    part = np.clip(place - first, 0, 1).astype(np.float32)
    return first, part, (place >= 0) & (place <= SIDE - 1)


def _blurred(pixels: Pixels) -> Pixels:
    """Means of 5 x 5 pixels; the edges count on beyond themselves."""
    reach = _WINDOW // 2
    wide = np.pad(pixels, ((reach, reach), (reach, reach), (0, 0)), mode="edge")
    down = np.sum([wide[n : n + SIDE] for n in range(_WINDOW)], axis=0)
    both = np.sum([down[:, n : n + SIDE] for n in range(_WINDOW)], axis=0)
    return np.asarray(both / _WINDOW**2, np.float32)
