"""Vectors: one table per encoder, a row for each picture. The rows are the truth.

This file knows neither what vectors mean nor how they are searched.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.int64]
    Rows = NDArray[np.float32]

_STEP = 65_536


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


def count(connection: duckdb.DuckDBPyConnection, fingerprint: str) -> int:
    """How many rows there are."""
    row = connection.execute(f"SELECT count(*) FROM {table(fingerprint)}").fetchone()  # noqa: S608
    return int(row[0]) if row else 0


def parted(
    connection: duckdb.DuckDBPyConnection, fingerprint: str, high_water: int
) -> tuple[int, int, int]:
    """How many rows there are up to a number, the sum of their numbers, and how many beyond."""
    row = connection.execute(
        "SELECT count(*) FILTER (picture <= $1), "  # noqa: S608
        "coalesce(sum(picture) FILTER (picture <= $1), 0), count(*) FILTER (picture > $1) "
        f"FROM {table(fingerprint)}",
        [high_water],
    ).fetchone()
    return (int(row[0]), int(row[1]), int(row[2])) if row else (0, 0, 0)
