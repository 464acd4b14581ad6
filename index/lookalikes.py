"""Lookalikes: pictures that are one but for encoding, size or cut edges, and ones merely similar.

Near ones must be alike to the encoder, by their perceptual hashes and when laid over each other: an
encoder alone takes a man and a woman in the same dress for one. Each group is gathered around the
picture to keep, so that its members are like that one, not just like another of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from index.likeness import later_likes
from index.overlay import difference, reduced
from index.phashes import picture_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Measured with the bundled encoder on icons that resemble each other; see decisions.md.
SIMILAR_COSINE = 0.95
NEAR_COSINE = 0.90
NEAR_BITS = 28
NEAR_DIFFERENCE = 16.0
# Cutting off a little, or rounding a small size, changes the shape by no more than this.
NEAR_SHAPE = 1.1

Stars = dict[int, dict[int, float]]


@dataclass(frozen=True)
class Compared:
    """Pictures to compare, those to keep first.

    root: of the library; ids, paths: where to look at them
    shapes (n,): width / height; rows (n, width): unit vectors; hashes: perceptual
    """

    root: Path
    ids: list[str]
    paths: list[Path]
    shapes: NDArray[np.float64]
    rows: NDArray[np.float32]
    hashes: list[int]


def lookalikes(pictures: Compared) -> tuple[Stars, Stars]:
    """Near ones and similar ones: by the place of each one to keep, its likes and their cosines.

    A picture is in one group of a kind at most; what is near another is not told as similar too.
    """
    near, similar = Stars(), Stars()
    near_taken, similar_taken = set[int](), set[int]()
    is_near = _nearness(pictures)
    for place, places, cosines in later_likes(pictures.rows, min(NEAR_COSINE, SIMILAR_COSINE)):
        likes = list(zip(places.tolist(), cosines.tolist(), strict=True))
        close = [(n, c) for n, c in likes if c >= NEAR_COSINE]
        _gather(near, near_taken, place, close, partial(is_near, place))
        if place not in near_taken:
            rest = [(n, c) for n, c in likes if c >= SIMILAR_COSINE]
            _gather(similar, similar_taken, place, rest, lambda n: n not in near_taken)
    return near, _without(similar, near_taken)


def _gather(
    stars: Stars,
    taken: set[int],
    centre: int,
    likes: Iterable[tuple[int, float]],
    fits: Callable[[int], bool],
) -> None:
    if centre in taken:
        return
    members = {n: cosine for n, cosine in likes if n not in taken and fits(n)}
    if members:
        stars[centre] = members
        taken.update(members)


def _without(stars: Stars, gone: set[int]) -> Stars:
    """The groups without members that turned out to be near another; a group has two at least."""
    left = {c: {n: v for n, v in members.items() if n not in gone} for c, members in stars.items()}
    return {centre: members for centre, members in left.items() if members}


def _nearness(pictures: Compared) -> Callable[[int, int], bool]:
    """Whether two pictures are one, by all but their vectors; the cheap tests first."""

    @lru_cache(maxsize=1024)
    def seen(place: int) -> NDArray[np.float32] | None:
        image = picture_of(pictures.ids[place], pictures.paths[place], pictures.root)
        return None if image is None else reduced(image)

    def is_near(one: int, other: int) -> bool:
        shapes = pictures.shapes[[one, other]]
        if shapes.max() > NEAR_SHAPE * shapes.min():
            return False
        if (pictures.hashes[one] ^ pictures.hashes[other]).bit_count() > NEAR_BITS:
            return False
        first, second = seen(one), seen(other)
        return (
            first is not None
            and second is not None
            and difference(first, second) <= NEAR_DIFFERENCE
        )

    return is_near
