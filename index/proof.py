"""Proof: whether every block of the catalogue still is what was written.

DuckDB holds a block against its checksum when it reads it, and no question reads them all: so
every value is read here, and every key looked up in its index. This file knows no table by its
name.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from index import looks

if TYPE_CHECKING:
    import duckdb
    import numpy as np
    from numpy.typing import NDArray

    from index.looks import Look
    from index.store import Store

# DuckDB looks up so many keys through an index; of more, and of all that there are, it scans the
# table. So every other key is asked for at a time.
_KEYS = 1_000


def prove(store: Store) -> None:
    """Read all there is. Raises LibraryDamaged when a block is not what was written."""
    looks.take(store, [_everything])


def _everything(connection: duckdb.DuckDBPyConnection) -> Sequence[Look]:
    tables = connection.execute("SELECT table_name FROM duckdb_tables() ORDER BY 1").fetchall()
    keys = connection.execute(
        "SELECT table_name, constraint_column_names[1] FROM duckdb_constraints() "
        "WHERE constraint_type = 'PRIMARY KEY' ORDER BY 1"
    ).fetchall()
    return [
        *(partial(_read, table=f'"{table}"') for (table,) in tables),
        *(partial(_keys_of, table=f'"{table}"', column=column) for table, column in keys),
    ]


def _read(connection: duckdb.DuckDBPyConnection, table: str) -> Sequence[Look]:
    connection.execute(f"SELECT max(hash(t)) FROM {table} t").fetchall()  # noqa: S608
    return []


def _keys_of(connection: duckdb.DuckDBPyConnection, table: str, column: str) -> Sequence[Look]:
    held = connection.execute(f"SELECT {column} FROM {table}").fetchnumpy()[column]  # noqa: S608
    return [
        partial(_look_up, table=table, column=column, keys=some[start : start + _KEYS])
        for some in (held[::2], held[1::2])
        for start in range(0, len(some), _KEYS)
    ]


def _look_up(
    connection: duckdb.DuckDBPyConnection, table: str, column: str, keys: NDArray[np.generic]
) -> Sequence[Look]:
    question = f"SELECT {column} FROM {table} WHERE {column} IN ?"  # noqa: S608
    connection.execute(question, [keys.tolist()]).fetchall()
    return []
