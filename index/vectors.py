"""Vectors: one table per encoder, and the exact search over it.

The rows are the truth. This file knows neither what the vectors mean nor how they are asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb
    import numpy as np
    from numpy.typing import NDArray


def table(fingerprint: str) -> str:
    """The name of the table that holds the vectors of one encoder."""
    if not fingerprint.isalnum():
        raise ValueError(f"{fingerprint!r} is no fingerprint")
    return f"vectors_{fingerprint[:16]}"


def create_table(connection: duckdb.DuckDBPyConnection, fingerprint: str, width: int) -> None:
    """Lay the table of an encoder that gives `width` numbers, unless it stands."""
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS {table(fingerprint)} "
        f"(picture BIGINT NOT NULL, embedding FLOAT[{int(width)}] NOT NULL)"
    )


def insert(
    connection: duckdb.DuckDBPyConnection,
    fingerprint: str,
    rows: Mapping[int, NDArray[np.float32]],
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
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Numbers (n,) and vectors (n, width) of the rows that meet the condition."""
    import numpy as np

    rows = connection.execute(
        f"SELECT picture, embedding FROM {table(fingerprint)} WHERE {condition}",  # noqa: S608
        values,
    ).fetchnumpy()
    if not len(rows["picture"]):
        return np.empty(0, np.int64), np.empty((0, 0), np.float32)
    return np.asarray(rows["picture"], np.int64), np.stack(list(rows["embedding"]))


@dataclass(frozen=True)
class Near:
    """Pictures near a direction, the nearest first.

    numbers (n,); scores (n,): cosines; rows (n, width): their unit vectors
    """

    numbers: NDArray[np.int64]
    scores: NDArray[np.float32]
    rows: NDArray[np.float32]


def nearest(
    connection: duckdb.DuckDBPyConnection,
    fingerprint: str,
    aim: NDArray[np.float32],
    k: int | None,
    allowed: NDArray[np.int64] | None,
) -> Near:
    """The k rows with the largest inner product, exactly; equal ones by rising number.

    aim: unit (width,); k: None for all; allowed: rising numbers, None for every row
    """
    numbers, rows = read(connection, fingerprint, "true", [])
    return ranked(numbers, rows, aim, k, allowed)


def ranked(
    numbers: NDArray[np.int64],
    rows: NDArray[np.float32],
    aim: NDArray[np.float32],
    k: int | None,
    allowed: NDArray[np.int64] | None,
) -> Near:
    """The same over rows at hand: the plain computation that everything faster must equal."""
    import numpy as np

    if allowed is not None:
        inside = np.isin(numbers, allowed)
        numbers, rows = numbers[inside], rows[inside]
    if not len(rows):
        rows = np.empty((0, len(aim)), np.float32)
    scores = rows @ aim
    best = np.lexsort((numbers, -scores))[:k]
    return Near(numbers[best], scores[best], rows[best])


def describe(connection: duckdb.DuckDBPyConnection, root: Path, fingerprint: str) -> str:
    """How search goes through the vectors, and why."""
    return "exact scan of the rows"
