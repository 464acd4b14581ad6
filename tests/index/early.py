"""Early: libraries as earlier versions of the schema left them, made by those versions' steps."""

from __future__ import annotations

import shutil
from pathlib import Path

import duckdb

from index.migrations import M001
from index.store import CONFIG


def as_the_first_schema_left_it(root: Path, target: Path) -> None:
    """Copy a library into a new folder, its catalogue with the first schema and nothing later."""
    shutil.copytree(root, target, ignore=shutil.ignore_patterns("*.duckdb*", ".curation"))
    with duckdb.connect(config=CONFIG | {"enable_external_access": True}) as connection:
        for name, place, how in (("now", root, " (READ_ONLY)"), ("early", target, "")):
            file = str(place / "library.duckdb").replace("'", "''")
            connection.execute(f"ATTACH '{file}' AS {name}{how}")
        connection.execute("USE early")
        connection.execute("CREATE TABLE meta (key VARCHAR PRIMARY KEY, value VARCHAR)")
        connection.execute("INSERT INTO meta VALUES ('schema', '1')")
        connection.execute(M001)
        fingerprints = connection.execute("SELECT fingerprint, width FROM now.encoders").fetchall()
        for fingerprint, width in fingerprints:
            connection.execute(
                f"CREATE TABLE vectors_{fingerprint[:16]} "
                f"(picture BIGINT PRIMARY KEY, embedding FLOAT[{width}] NOT NULL)"
            )
        tables = connection.execute(
            "SELECT table_name FROM duckdb_tables() "
            "WHERE database_name = 'early' AND table_name <> 'meta'"
        ).fetchall()
        for (table,) in tables:
            described = connection.execute(f"DESCRIBE {table}").fetchall()
            columns = ", ".join(name for name, *_ in described)
            connection.execute(f"INSERT INTO {table} SELECT {columns} FROM now.{table}")
        connection.execute("USE memory")
        connection.execute("DETACH early")
