"""Places: where every recorded file is, in the trash or out of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from index.entry import absolute

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True)
class Place:
    """One file on record.

    number, id: of its picture; recorded: its path in the row
    path: where it should be now; home: where it is when its picture is not deleted
    """

    number: int
    id: str
    recorded: str
    path: Path
    home: Path
    inside: bool
    deleted: bool
    file_sha256: str


def places(
    connection: duckdb.DuckDBPyConnection, root: Path, numbers: list[int] | None = None
) -> list[Place]:
    """The files of these pictures, or of all, by number, each picture's main file first."""
    rows = connection.execute(
        "SELECT picture, id, path, raw_path, inside, file_sha256, "
        "picture IN (SELECT seq FROM deleted) "
        "FROM files JOIN pictures ON seq = picture "
        "WHERE $1 IS NULL OR picture IN $1 ORDER BY picture, main DESC, path",
        [numbers],
    ).fetchall()
    return [_place(root, *row) for row in rows]


def grave(root: Path, id: str, home: Path) -> Path:
    """Where a file of a deleted picture lies: `trash/<id>/<its path in the library>`."""
    return root / "trash" / id / home.relative_to(root)


def _place(
    root: Path,
    number: int,
    id: str,
    path: str,
    raw: bytes | None,
    inside: bool,
    sha256: str,
    deleted: bool,
) -> Place:
    home = absolute(root, path, raw, inside)
    now = grave(root, id, home) if deleted and inside else home
    return Place(number, id, path, now, home, inside, deleted, sha256)
