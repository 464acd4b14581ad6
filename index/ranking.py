"""Ranking: the pictures that pass, put in order by their look, by their words, or by both.

Each order is that of scoring every picture, as far as `index.nearest` finds the nearest. A picture
without a vector has no look, and is found by its words alone. This file knows nothing of floors.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from index import fusion, nearest, vectors
from index.passing import Passing

if TYPE_CHECKING:
    import duckdb
    import numpy as np
    from numpy.typing import NDArray

    from index.lexical import Lexical
    from index.nearest import Near
    from index.registered import Registered

    Numbers = NDArray[np.int64]
    Scores = NDArray[np.float32]


@dataclass(frozen=True)
class Ranking:
    """Pictures in order, the best first; each array has a row for each of the n.

    scores: what the order goes by; rows (n, width): unit vectors, where there are any
    looks, words: ranks by the look and by the words, 1 for the best, 0 for none
    """

    numbers: Numbers
    scores: Scores
    rows: Scores
    looks: Numbers
    words: Numbers

    def chosen(self, places: NDArray[np.generic] | slice) -> Ranking:
        """Only the pictures of a slice, at those places, or where a mask is true."""
        return Ranking(
            self.numbers[places],
            self.scores[places],
            self.rows[places],
            self.looks[places],
            self.words[places],
        )


def by_look(
    connection: duckdb.DuckDBPyConnection,
    root: Path,
    active: Registered,
    aim: Scores,
    k: int | None,
    passing: Passing,
    *,
    exact: bool = False,
) -> Ranking:
    """The k nearest to a direction (width,), scored by cosine."""
    import numpy as np

    near = nearest.nearest(connection, root, active, aim, k, passing, exact=exact)
    none = np.zeros(len(near.numbers), np.int64)
    return Ranking(near.numbers, near.scores, near.rows, fusion.ranks(near.scores), none)


def by_words(found: Lexical) -> Ranking:
    """All that have any of the words, scored by them; among equals the newest first."""
    import numpy as np

    order = np.lexsort((-found.numbers, -found.scores))
    scores = found.scores[order]
    rows, none = np.empty((len(order), 0), np.float32), np.zeros(len(order), np.int64)
    return Ranking(found.numbers[order], scores, rows, none, fusion.ranks(scores))


def by_both(
    connection: duckdb.DuckDBPyConnection,
    root: Path,
    active: Registered,
    aim: Scores,
    k: int | None,
    passing: Passing,
    found: Lexical,
    *,
    exact: bool = False,
) -> Ranking:
    """Fused by reciprocal rank (`index.fusion`); looks count down to its depth, at least k.

    Among equals the nearest first, then the one that came first. The best k are among those given.
    """
    import numpy as np

    depth = None if k is None else max(k, fusion.DEPTH)
    near = nearest.nearest(connection, root, active, aim, depth, passing, exact=exact)
    far = _far(connection, root, active, aim, k, found, near)
    numbers = np.concatenate([near.numbers, far.numbers])
    cosines = np.concatenate([near.scores, far.scores])
    looks = np.concatenate([fusion.ranks(near.scores), np.zeros(len(far.numbers), np.int64)])
    words, shares = _words(found, numbers)
    scores = fusion.fused(looks, words, shares)
    order = np.lexsort((numbers, -cosines, -scores))
    rows = np.concatenate([near.rows, far.rows])
    return Ranking(numbers, scores, rows, looks, words).chosen(order)


def _far(
    connection: duckdb.DuckDBPyConnection,
    root: Path,
    active: Registered,
    aim: Scores,
    k: int | None,
    found: Lexical,
    near: Near,
) -> Near:
    """The k with the best words among the pictures that are not near; of equals the nearest."""
    import numpy as np

    outside = ~np.isin(found.numbers, near.numbers)
    numbers, scores = found.numbers[outside], found.scores[outside]
    if k is not None and len(numbers) > k:
        last = np.partition(scores, -k)[-k]
        sure, equal = numbers[scores > last], numbers[scores == last]
        rest = nearest.nearest(connection, root, active, aim, k - len(sure), Passing(equal))
        numbers = np.concatenate([sure, rest.numbers])
    read = vectors.read(connection, active.fingerprint, "picture IN ?", [numbers.tolist()])
    return nearest.ranked(*read, aim, None)


def _words(found: Lexical, numbers: Numbers) -> tuple[Numbers, Scores]:
    """Ranks (n,) and scores (n,) by the words, of these pictures."""
    import numpy as np

    places = np.minimum(np.searchsorted(found.numbers, numbers), len(found.numbers) - 1)
    there = found.numbers[places] == numbers
    ranks = np.where(there, fusion.ranks(found.scores)[places], fusion.ABSENT)
    return ranks, np.where(there, found.scores[places], 0)
