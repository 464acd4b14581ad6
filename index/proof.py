"""Proof: whether every block of the catalogue still is what was written.

DuckDB holds a block against its checksum when it reads it, and no question reads them all: so
every value is read here, and every key looked up in its index. Each look is a turn of its own, so
that nobody who writes waits for all of them. This file knows no table by its name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from index.store import Store

# DuckDB looks up so many keys through an index; of more, and of all that there are, it scans the
# table. So every other key is asked for at a time.
_KEYS = 1_000


def prove(store: Store) -> None:
    """Read all there is. Raises LibraryDamaged when a block is not what was written."""
    with store.reading() as connection:
        tables = connection.execute("SELECT table_name FROM duckdb_tables() ORDER BY 1").fetchall()
        keys = connection.execute(
            "SELECT table_name, constraint_column_names[1] FROM duckdb_constraints() "
            "WHERE constraint_type = 'PRIMARY KEY' ORDER BY 1"
        ).fetchall()
    for (table,) in tables:
        with store.reading() as connection:
            connection.execute(f'SELECT max(hash(t)) FROM "{table}" t').fetchall()  # noqa: S608
    for table, column in keys:
        _look_up(store, f'"{table}"', column)


def _look_up(store: Store, table: str, column: str) -> None:
    with store.reading() as connection:
        held = connection.execute(f"SELECT {column} FROM {table}").fetchnumpy()[column]  # noqa: S608
    for some in (held[first::2] for first in (0, 1)):
        for start in range(0, len(some), _KEYS):
            with store.reading() as connection:
                connection.execute(
                    f"SELECT {column} FROM {table} WHERE {column} IN ?",  # noqa: S608
                    [some[start : start + _KEYS].tolist()],
                ).fetchall()
