"""Likeness: which rows of a table of unit vectors point almost the same way, exactly.

Every row is compared with every later one, a block at a time, so that time grows with the square of
their number and memory does not. This file knows no library.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CELLS = 16_000_000  # cosines at a time: 64 MB


def later_likes(
    rows: NDArray[np.float32], least: float
) -> Iterator[tuple[int, NDArray[np.intp], NDArray[np.float32]]]:
    """For each row that has any: the later rows whose cosine with it is `least` or more.

    rows (n, width): unit; gives a row's place, the places of those like it, and their cosines
    """
    start = 0
    while start < len(rows):
        height = max(1, _CELLS // (len(rows) - start))
        block = rows[start : start + height] @ rows[start:].T
        block[:, : len(block)][np.tril_indices(len(block))] = -np.inf  # itself, and earlier ones
        first, second = np.nonzero(block >= least)
        edges = np.searchsorted(first, np.arange(len(block) + 1))
        for place in np.unique(first):
            likes = second[edges[place] : edges[place + 1]]
            yield start + int(place), start + likes, block[place, likes]
        start += len(block)
