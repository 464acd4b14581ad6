"""Nearest: the exact search over the vectors of an encoder.

The rows are the truth. Where a snapshot holds most of them, it names candidates, with slack for its
half precision; DuckDB names them among the rows that it does not hold yet; and every score that
leaves here was computed from the rows in float32. So the answer is that of `ranked` over all rows,
whichever way it was found, unless the snapshot's plan says that a search without filters goes
through the likeliest clusters alone. This file knows neither what vectors mean nor how they are
asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from index import gather, mapped, scan, snapshot, sound
from index.vectors import read, step, table

if TYPE_CHECKING:
    import duckdb
    import numpy as np
    from numpy.typing import NDArray

    from index.mapped import Mapped
    from index.passing import Passing
    from index.registered import Registered
    from index.snapshot import Snapshot

    Numbers = NDArray[np.int64]
    Rows = NDArray[np.float32]

# Rounding a unit row to half precision moves a cosine by at most 2**-11 (each number by 2**-11 of
# itself, and Cauchy-Schwarz), and float32 sums by a little more.
SLACK = 6e-4
_SPARE = 16
# More than this are looked for in all rows: a shortcut is tried for the first ten, and is good for
# the first few hundred.
_DEEPEST = 256


@dataclass(frozen=True)
class Near:
    """Pictures near a direction, the nearest first.

    numbers (n,); scores (n,): cosines; rows (n, width): their unit vectors
    """

    numbers: Numbers
    scores: Rows
    rows: Rows

    def cut(self, keep: NDArray[np.bool_]) -> Near:
        """Only those that are kept; keep (n,)."""
        return Near(self.numbers[keep], self.scores[keep], self.rows[keep])


def nearest(
    connection: duckdb.DuckDBPyConnection,
    root: Path,
    active: Registered,
    aim: Rows,
    k: int | None,
    passing: Passing,
    *,
    exact: bool = False,
) -> Near:
    """The k rows with the largest inner product; equal ones by rising number.

    aim: unit (width,); k: None for all; exact: go through every row, whatever the plan says
    """
    fingerprint = active.fingerprint
    if k is None:
        return _all(connection, fingerprint, aim, passing)
    try:
        near = _with_snapshot(connection, root, active, aim, k, passing, exact=exact)
    except mapped.Rotten:
        snapshot.withdraw(root, active)
        near = None
    return near or _young(connection, fingerprint, aim, k, passing, above=0)


def _with_snapshot(
    connection: duckdb.DuckDBPyConnection,
    root: Path,
    active: Registered,
    aim: Rows,
    k: int,
    passing: Passing,
    *,
    exact: bool,
) -> Near | None:
    """None where no snapshot can be used. Raises Rotten."""
    fingerprint = active.fingerprint
    held = sound.current(connection, root, active)
    index = sound.opened(root, active, held.snapshot) if held else None
    if held is None or index is None:
        return None
    stands = held.snapshot
    # filters may leave rows anywhere, so that the likeliest clusters may hold none of them
    whole = exact or stands.plan.is_exact or not passing.others or k > _DEEPEST
    probes = None if whole else stands.plan.probes
    left = passing.without(held.gone)
    old = _old(connection, fingerprint, index, stands, aim, k, left, probes)
    if not held.young:
        return old
    young = _young(connection, fingerprint, aim, k, passing, above=stands.high_water)
    return _merged(old, young, k)


def ranked(numbers: Numbers, rows: Rows, aim: Rows, k: int | None) -> Near:
    """The k best of the rows at hand: the plain computation that everything faster must equal."""
    import numpy as np

    if not len(rows):
        rows = np.empty((0, len(aim)), np.float32)
    scores = rows @ aim
    best = np.lexsort((numbers, -scores))[:k]
    return Near(numbers[best], scores[best], rows[best])


def _all(
    connection: duckdb.DuckDBPyConnection, fingerprint: str, aim: Rows, passing: Passing
) -> Near:
    """Every row that passes, read a step at a time."""
    import numpy as np

    best = ranked(np.empty(0, np.int64), np.empty((0, 0), np.float32), aim, None)
    numbers, rows = step(connection, fingerprint, 0)
    while len(numbers):
        inside = passing.mask(numbers)
        best = _merged(best, ranked(numbers[inside], rows[inside], aim, None), None)
        numbers, rows = step(connection, fingerprint, int(numbers.max()))
    return best


def _merged(one: Near, other: Near, k: int | None) -> Near:
    import numpy as np

    numbers = np.concatenate([one.numbers, other.numbers])
    scores = np.concatenate([one.scores, other.scores])
    best = np.lexsort((numbers, -scores))[:k]
    return Near(numbers[best], scores[best], np.concatenate([one.rows, other.rows])[best])


def _young(
    connection: duckdb.DuckDBPyConnection,
    fingerprint: str,
    aim: Rows,
    k: int,
    passing: Passing,
    above: int,
) -> Near:
    """The best of the rows with larger numbers than `above`, found by DuckDB."""
    import numpy as np

    beyond = f"FROM {table(fingerprint)} WHERE picture > ?"
    found = connection.execute(
        f"SELECT picture, array_inner_product(embedding, ?::FLOAT[{len(aim)}]) AS score {beyond}",
        [aim.tolist(), above],
    ).fetchnumpy()
    numbers, scores = np.asarray(found["picture"], np.int64), np.asarray(found["score"], np.float32)
    inside = passing.mask(numbers)
    numbers, scores = numbers[inside], scores[inside]
    order = np.argsort(-scores, kind="stable")
    return _proved(
        connection,
        fingerprint,
        lambda wanted: (scores[order[:wanted]], numbers[order[:wanted]]),
        aim,
        k,
        len(numbers),
    )


def _old(
    connection: duckdb.DuckDBPyConnection,
    fingerprint: str,
    index: Mapped,
    stands: Snapshot,
    aim: Rows,
    k: int,
    passing: Passing,
    probes: int | None,
) -> Near:
    """The best of the rows in the snapshot, or of its likeliest clusters."""
    import numpy as np

    count = passing.most(stands.count)
    proved = (connection, fingerprint)
    if index.is_kept and not passing.others and count <= stands.count // gather.FEW:
        index.prove_lists(np.arange(index.index.nlist))
        lying = index.places(stands.high_water)
        numbers = passing.numbers[passing.numbers <= stands.high_water]
        there = lying[numbers] >= 0
        few = (index.index, index.bytes, numbers[there], lying[numbers[there]], aim)
        return _proved(*proved, lambda n: gather.candidates(*few, n), aim, k, int(there.sum()))
    everyone = passing.others and not len(passing.numbers)
    bits = None if everyone else passing.bits(stands.high_water)
    pieces = (index.after_piece, index.prove_lists)
    return _proved(
        *proved,
        lambda n: scan.candidates(index.index, aim, n, bits, probes, *pieces),
        aim,
        k,
        count,
    )


def _proved(
    connection: duckdb.DuckDBPyConnection,
    fingerprint: str,
    candidates: Callable[[int], tuple[Rows, Numbers]],
    aim: Rows,
    k: int,
    count: int,
) -> Near:
    """The best of the candidates, proved: what was not fetched cannot be better.

    candidates: gives rough scores, falling, and numbers, of so many; count: how many at most
    """
    import numpy as np

    wanted = min(k + _SPARE, count)
    if not wanted:
        return ranked(np.empty(0, np.int64), np.empty((0, 0), np.float32), aim, k)
    while True:
        rough, found = candidates(wanted)
        if len(found) < wanted or wanted == count or rough[-1] < _good(rough, k):
            break
        wanted = min(4 * wanted, count)
    found, rough = found[rough >= _good(rough, k)], rough[rough >= _good(rough, k)]
    near = ranked(*read(connection, fingerprint, "picture IN ?", [found.tolist()]), aim, None)
    _compare(near, rough, found)
    return near.cut(np.arange(len(near.numbers)) < k)


def _good(rough: Rows, k: int) -> float:
    """What a rough score must reach at least to be among the k best; rough (n,), falling."""
    return float(rough[k - 1]) - 2 * SLACK if len(rough) >= k else -math.inf


def _compare(near: Near, rough: Rows, found: Numbers) -> None:
    """Raise Rotten unless the rough scores are those of the rows."""
    import numpy as np

    mine, theirs = np.argsort(near.numbers), np.argsort(found)
    same = np.array_equal(near.numbers[mine], found[theirs])
    if not same or np.any(np.abs(near.scores[mine] - rough[theirs]) > SLACK):
        raise mapped.Rotten(str(found))
