"""Hiding: what the catalogue hides has no thumbnail on disk either.

A picture is hidden while any set that holds it is. Its own file stays where it is. Thumbnails
follow the rows as files do: see `index.trash.settle`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from index.errors import UnreadableImage

if TYPE_CHECKING:
    import duckdb

    from index.store import Store

# For conditions over the tables; the view `library` has a column of its own.
HIDDEN = "(SELECT picture FROM set_members JOIN sets ON name = set_name WHERE hidden)"


def is_hidden(connection: duckdb.DuckDBPyConnection, name: str) -> bool:
    """Whether a set of that name is a hidden one."""
    rows = connection.execute("SELECT 1 FROM sets WHERE name = ? AND hidden", [name])
    return bool(rows.fetchall())


def shown(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """The ids that have a thumbnail, by number, where nobody is about to make or remove it."""
    rows = connection.execute(
        f"SELECT id FROM pictures WHERE seq NOT IN {HIDDEN} "  # noqa: S608 - a constant
        "AND seq NOT IN (SELECT seq FROM unsettled) ORDER BY seq"
    ).fetchall()
    return [id for (id,) in rows]


def reveal(store: Store) -> None:
    """Make the thumbnails that are missing of pictures that have still to be settled.

    Raises DiskFull or LibraryReadOnly. A picture that cannot be read stays without; `verify` tells.
    """
    from index import catalogue

    with store.reading() as connection:
        rows = connection.execute("SELECT DISTINCT seq FROM unsettled").fetchall()
        entries = catalogue.entries(connection, store.root, [number for (number,) in rows])
    for entry in entries:
        if not entry.hidden:
            _make(entry.path, entry.id, store.root)


def _make(path: Path, id: str, root: Path) -> None:
    from index.record import read_picture
    from index.thumbnails import make_thumbnail, thumbnail_path

    if thumbnail_path(id, root).exists():
        return
    try:
        _, image = read_picture(path)
    except UnreadableImage:
        return
    make_thumbnail(image, id, root)
