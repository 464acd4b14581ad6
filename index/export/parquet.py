"""Format `parquet`: the pictures and `metadata.parquet`, typed columns, written by DuckDB."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from index.errors import BadQuery
from index.export.rows import Row

NAME = "metadata.parquet"


def write(out: Path, rows: Sequence[Row], columns: Mapping[str, str]) -> None:
    """Write the table. Raises BadQuery for a folder whose name DuckDB cannot take."""
    import duckdb

    path = _utf8(out / NAME)
    offline: dict[str, str | bool | int | float | list[str]] = {
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    with duckdb.connect(":memory:", config=offline) as connection:
        connection.execute("SET allowed_directories = $1", [[str(out)]])
        connection.execute("SET enable_external_access = false")
        kinds = [f"{name} {kind}" for name, kind in columns.items()]
        connection.execute(f"CREATE TABLE metadata ({', '.join(kinds)})")
        filled = [f"unnest(${n}::{kind}[])" for n, kind in enumerate(columns.values(), 1)]
        connection.execute(
            f"INSERT INTO metadata SELECT {', '.join(filled)}",
            [[row[name] for row in rows] for name in columns],
        )
        connection.execute("COPY metadata TO $path (FORMAT parquet)", {"path": path})


def _utf8(path: Path) -> str:
    try:
        return str(path).encode("utf-8").decode("utf-8")
    except UnicodeEncodeError as error:
        raise BadQuery(
            "Parquet cannot be written into a folder whose name is not UTF-8.",
            "Choose another folder, or another format.",
        ) from error
