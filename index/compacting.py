"""Compacting: a catalogue's contents into a new file, without the bytes of what was deleted.

Opens nothing of its own accord and takes no turn: `index.store` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import duckdb


def copy(connection: duckdb.DuckDBPyConnection, source: Path, target: Path) -> None:
    """All tables, views and triggers; afterwards the copy is on the disk."""
    for name, path, how in (("source", source, " (READ_ONLY)"), ("target", target, "")):
        place = str(path).replace("'", "''")
        connection.execute(f"ATTACH '{place}' AS {name}{how}")
    connection.execute("COPY FROM DATABASE source TO target (SCHEMA)")
    rows = connection.execute(
        "SELECT table_name FROM duckdb_tables() WHERE database_name = 'source' "
        "ORDER BY starts_with(table_name, 'vectors_') DESC, table_name"
    ).fetchall()
    for (name,) in rows:
        # a vector's numbers do not compress, and to find that out costs more than to copy them
        kind = "uncompressed" if name.startswith("vectors_") else "auto"
        connection.execute(f"PRAGMA force_compression = '{kind}'")
        connection.execute(f'INSERT INTO target."{name}" FROM source."{name}"')
        if kind == "uncompressed":
            connection.execute("CHECKPOINT target")
    triggers = connection.execute(
        "SELECT sql FROM duckdb_triggers() WHERE database_name = 'source'"
    ).fetchall()
    connection.execute("USE target")
    for (statement,) in triggers:
        connection.execute(statement)
    connection.execute("USE memory")
    connection.execute("DETACH target")
