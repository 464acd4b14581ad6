"""Trash: what was deleted, until it is emptied.

Deleting writes a tombstone and nothing else: the view no longer shows the picture, yet all that
people said of it stays, so it can come back whole. The transaction is the truth; files follow it
(`settle`), and a crash in between is made good by the next command that settles.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from index import catalogue, faults, placing
from index.entry import absolute

if TYPE_CHECKING:
    import duckdb

    from index.store import Store


def delete(store: Store, prefixes: Sequence[str]) -> int:
    """Move pictures to the trash; files that stand outside the library stay where they are.

    Returns how many. Raises NoSuchPicture or AmbiguousId, and then deletes none.
    """
    with store.writing() as connection:
        numbers = sorted({catalogue.resolve(connection, prefix) for prefix in prefixes})
        now = datetime.now(UTC).replace(tzinfo=None)
        connection.execute(
            "INSERT INTO deleted SELECT seq, id, ?, false FROM pictures WHERE seq IN ?",
            [now, numbers],
        )
        _unsettle(connection, numbers)
    settle(store)
    return len(numbers)


def restore_rows(connection: duckdb.DuckDBPyConnection, numbers: Sequence[int]) -> None:
    """Take tombstones away, inside the caller's transaction; `settle` brings the files back."""
    if numbers:
        connection.execute("DELETE FROM deleted WHERE seq IN ? AND NOT emptied", [list(numbers)])
        _unsettle(connection, numbers)


def settle(store: Store) -> None:
    """Bring files to where the committed rows say they are: in the trash, or out of it."""
    with store.writing() as connection:
        rows = connection.execute(
            "SELECT DISTINCT u.seq, u.id, d.seq IS NOT NULL, coalesce(d.emptied, false) "
            "FROM unsettled u LEFT JOIN deleted d ON d.seq = u.seq"
        ).fetchall()
        for number, id, is_deleted, is_emptied in rows:
            if is_emptied:
                shutil.rmtree(store.root / "trash" / id, ignore_errors=True)
            else:
                _carry(store.root, id, _places(connection, number), to_trash=is_deleted)
        connection.execute("DELETE FROM unsettled")


def is_settled(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether every file followed its row."""
    return not connection.execute("SELECT 1 FROM unsettled LIMIT 1").fetchall()


def trash_path(root: Path, id: str, path: Path) -> Path:
    """Where a file of a deleted picture lies: `trash/<id>/<its path in the library>`."""
    return root / "trash" / id / path.relative_to(root)


def _unsettle(connection: duckdb.DuckDBPyConnection, numbers: Sequence[int]) -> None:
    connection.execute(
        "INSERT INTO unsettled SELECT seq, id FROM pictures WHERE seq IN ?", [list(numbers)]
    )


def _places(connection: duckdb.DuckDBPyConnection, number: int) -> list[tuple[str, bytes | None]]:
    return connection.execute(
        "SELECT path, raw_path FROM files WHERE picture = ? AND inside", [number]
    ).fetchall()


def _carry(
    root: Path, id: str, places: Sequence[tuple[str, bytes | None]], *, to_trash: bool
) -> None:
    for name, raw in places:
        home = absolute(root, name, raw, inside=True)
        grave = trash_path(root, id, home)
        source, target = (home, grave) if to_trash else (grave, home)
        if source.exists():
            faults.reach("carrying")
            placing.make_folders(target.parent)
            os.replace(source, target)
