"""Vectors: one table per encoder, and the exact search over it.

The rows are the truth. Where a snapshot holds most of them, it names candidates, with slack for its
half precision; DuckDB names them among the rows that it does not hold yet; and every score that
leaves here was computed from the rows in float32. So the answer is that of `ranked` over all rows,
whichever way it was found, unless the snapshot's plan says that a search without filters goes
through the likeliest clusters alone. This file knows neither what vectors mean nor how they are
asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from index import mapped, scan
from index import snapshot as snapshots

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
_STEP = 65_536
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


def table(fingerprint: str) -> str:
    """The name of the table that holds the vectors of one encoder."""
    if not fingerprint.isalnum():
        raise ValueError(f"{fingerprint!r} is no fingerprint")
    return f"vectors_{fingerprint[:16]}"


def create_table(connection: duckdb.DuckDBPyConnection, fingerprint: str, width: int) -> None:
    """Lay the table of an encoder that gives `width` numbers, unless it stands."""
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS {table(fingerprint)} "
        f"(picture BIGINT PRIMARY KEY, embedding FLOAT[{int(width)}] NOT NULL)"
    )


def tables(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """The tables of vectors of every encoder that was ever registered."""
    rows = connection.execute("SELECT fingerprint FROM encoders ORDER BY added").fetchall()
    return [table(fingerprint) for (fingerprint,) in rows]


def insert(
    connection: duckdb.DuckDBPyConnection, fingerprint: str, rows: Mapping[int, Rows]
) -> None:
    """Add rows: picture's number -> unit vector (width,)."""
    import numpy as np

    if not rows:
        return
    # An object column of arrays: DuckDB reads it in place, twelve times faster than lists.
    column = np.empty(len(rows), object)
    for place, vector in enumerate(rows.values()):
        column[place] = np.ascontiguousarray(vector, np.float32)
    connection.register("incoming", {"picture": np.array(list(rows)), "embedding": column})
    try:
        connection.execute(f"INSERT INTO {table(fingerprint)} SELECT * FROM incoming")  # noqa: S608
    finally:
        connection.unregister("incoming")


def read(
    connection: duckdb.DuckDBPyConnection, fingerprint: str, condition: str, values: list[object]
) -> tuple[Numbers, Rows]:
    """Numbers (n,) and vectors (n, width) of the rows that meet a condition on `picture`."""
    import numpy as np

    rows = connection.execute(
        f"SELECT picture, embedding FROM {table(fingerprint)} WHERE {condition}",  # noqa: S608
        values,
    ).fetchnumpy()
    if not len(rows["picture"]):
        return np.empty(0, np.int64), np.empty((0, 0), np.float32)
    return np.asarray(rows["picture"], np.int64), np.stack(list(rows["embedding"]))


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
    snapshot = sound(connection, root, active)
    index = mapped.opened(snapshots.folder_of(root, active) / snapshot.file) if snapshot else None
    if snapshot is None or index is None:
        return _young(connection, fingerprint, aim, k, passing, above=0)
    # filters may leave rows anywhere, so that the likeliest clusters may hold none of them
    whole = exact or snapshot.plan.is_exact or not passing.others or k > _DEEPEST
    probes = None if whole else snapshot.plan.probes
    old = _old(connection, fingerprint, index, snapshot, aim, k, passing, probes)
    young = _young(connection, fingerprint, aim, k, passing, above=snapshot.high_water)
    return _merged(old, young, k)


def sound(
    connection: duckdb.DuckDBPyConnection, root: Path, active: Registered, *, fresh: bool = False
) -> Snapshot | None:
    """The current snapshot, if the rows up to its high water are the very rows it holds.

    fresh: read all of its bytes again for the checksum
    """
    snapshot = snapshots.current(root, active, fresh=fresh)
    if snapshot is None:
        return None
    held = standing(connection, active.fingerprint, snapshot.high_water)
    return snapshot if held == (snapshot.count, snapshot.total) else None


def standing(
    connection: duckdb.DuckDBPyConnection, fingerprint: str, high_water: int | None = None
) -> tuple[int, int]:
    """How many rows there are up to a number, or in all, and the sum of their numbers."""
    row = connection.execute(
        f"SELECT count(*), coalesce(sum(picture), 0) FROM {table(fingerprint)} "  # noqa: S608
        "WHERE picture <= coalesce($1::BIGINT, picture)",
        [high_water],
    ).fetchone()
    return (int(row[0]), int(row[1])) if row else (0, 0)


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


def step(
    connection: duckdb.DuckDBPyConnection, fingerprint: str, above: int, size: int = _STEP
) -> tuple[Numbers, Rows]:
    """Some of the rows with larger numbers than `above`, lowest first, at most `size`; or none."""
    row = connection.execute(
        f"SELECT min(picture) FROM {table(fingerprint)} WHERE picture > ?",  # noqa: S608
        [above],
    ).fetchone()
    first = row[0] if row and row[0] is not None else above + 1
    return read(connection, fingerprint, "picture BETWEEN ? AND ?", [first, first + size - 1])


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
    if not connection.execute(f"SELECT 1 {beyond} LIMIT 1", [above]).fetchall():
        # most often there are none, and handing over the aim alone takes most of a millisecond
        return ranked(np.empty(0, np.int64), np.empty((0, 0), np.float32), aim, k)
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
    snapshot: Snapshot,
    aim: Rows,
    k: int,
    passing: Passing,
    probes: int | None,
) -> Near:
    """The best of the rows in the snapshot, or of its likeliest clusters."""
    everyone = passing.others and not len(passing.numbers)
    bits = None if everyone else passing.bits(snapshot.high_water)
    return _proved(
        connection,
        fingerprint,
        lambda n: scan.candidates(index.index, aim, n, bits, probes, index.after_piece),
        aim,
        k,
        passing.most(snapshot.count),
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
        best = ranked(*read(connection, fingerprint, "picture IN ?", [found.tolist()]), aim, k)
        if len(found) < wanted or wanted == count or rough[-1] + SLACK < best.scores[-1]:
            return best
        wanted = min(4 * wanted, count)
