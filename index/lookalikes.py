"""Lookalikes: pictures that are one but for encoding, size or cut edges, and ones merely similar.

Near ones must be alike to the encoder, by their perceptual hashes and when laid over each other: an
encoder alone takes a man and a woman in the same dress for one. Each group is gathered around the
picture to keep, so that its members are like that one, not just like another of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
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
NEAR_COSINE = 0.92
NEAR_BITS = 24
NEAR_DIFFERENCE = 16.0
# Cutting off a little, or rounding a small size, changes the shape by no more than this.
NEAR_SHAPE = 1.1

Stars = dict[int, dict[int, float]]


@dataclass(frozen=True)
class Compared:
    """Pictures to compare, those to keep first.

    root: of the library; ids, paths: where to look at them
    shapes (n,): width / height; rows (n, width): unit vectors; hashes (n,): perceptual
    """

    root: Path
    ids: list[str]
    paths: list[Path]
    shapes: NDArray[np.float64]
    rows: NDArray[np.float32]
    hashes: NDArray[np.uint64]


def lookalikes(pictures: Compared) -> tuple[Stars, Stars]:
    """Near ones and similar ones: by the place of each one to keep, its likes and their cosines.

    A picture is in one group of a kind at most; what is near another is not told as similar too.
    """
    near = _Gathering(len(pictures.ids))
    similar = _Gathering(len(pictures.ids))
    lies_over = _overlays(pictures)
    for place, likes, cosines in later_likes(pictures.rows, min(NEAR_COSINE, SIMILAR_COSINE)):
        if not near.taken[place]:
            close = (cosines >= NEAR_COSINE) & near.free(likes)
            close[close] = _may_be_near(pictures, place, likes[close])
            close[close] = [lies_over(place, other) for other in likes[close].tolist()]
            near.gather(place, likes[close], cosines[close])
        if not (near.taken[place] or similar.taken[place]):
            alike = (cosines >= SIMILAR_COSINE) & near.free(likes) & similar.free(likes)
            similar.gather(place, likes[alike], cosines[alike])
    return near.stars, _without(similar.stars, near.taken)


class _Gathering:
    """Groups in the making: who stands around whom, and who is in a group already."""

    def __init__(self, count: int) -> None:
        self.stars: Stars = {}
        self.taken = np.zeros(count, bool)

    def free(self, places: NDArray[np.intp]) -> NDArray[np.bool_]:
        return ~self.taken[places]

    def gather(self, centre: int, places: NDArray[np.intp], cosines: NDArray[np.float32]) -> None:
        if len(places):
            self.stars[centre] = dict(zip(places.tolist(), cosines.tolist(), strict=True))
            self.taken[places] = True


def _without(stars: Stars, gone: NDArray[np.bool_]) -> Stars:
    """The groups without members that turned out to be near another; a group has two at least."""
    left = {c: {n: v for n, v in members.items() if not gone[n]} for c, members in stars.items()}
    return {centre: members for centre, members in left.items() if members}


def _may_be_near(pictures: Compared, one: int, others: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Whether the shapes and the hashes of the others (n,) allow that they are the same picture."""
    shapes = pictures.shapes[others] / pictures.shapes[one]
    apart = (pictures.hashes[others] ^ pictures.hashes[one]).view(np.uint8).reshape(-1, 8)
    bits = np.unpackbits(apart, axis=1).sum(1)
    return np.asarray((np.maximum(shapes, 1 / shapes) <= NEAR_SHAPE) & (bits <= NEAR_BITS))


def _overlays(pictures: Compared) -> Callable[[int, int], bool]:
    """Whether two pictures are the same when they are laid over each other."""

    @lru_cache(maxsize=1024)
    def seen(place: int) -> NDArray[np.float32] | None:
        image = picture_of(pictures.ids[place], pictures.paths[place], pictures.root)
        return None if image is None else reduced(image)

    def lies_over(one: int, other: int) -> bool:
        first, second = seen(one), seen(other)
        if first is None or second is None:
            return False
        return difference(first, second) <= NEAR_DIFFERENCE

    return lies_over
