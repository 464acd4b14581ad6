"""A real library on disk without an encoder: files and rows, laid as the library itself lays them.

What is under test here asks nothing of vectors, so no test has to load a model.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from index import catalogue
from index.addition import Addition, File, recorded
from index.colours import dominant_colours
from index.entry import Entry
from index.making import Making
from index.record import read_picture
from index.store import Store

MADE = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


def lay(root: Path, files: Sequence[Path], makings: Sequence[Making | None] = ()) -> Store:
    """A library at root that holds these files where they are."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    store = Store(root)
    store.create()
    told = list(makings) + [None] * (len(files) - len(makings))
    with store.writing() as connection:
        additions = [
            _addition(path, root, making) for path, making in zip(files, told, strict=True)
        ]
        catalogue.insert(connection, additions, "f" * 64, held={})
    return store


def entries(store: Store) -> list[Entry]:
    """All pictures, in the order in which they were laid."""
    with store.reading() as connection:
        numbers = [
            row[0] for row in connection.execute("SELECT seq FROM library ORDER BY seq").fetchall()
        ]
        return catalogue.entries(connection, store.root, numbers)


def _addition(path: Path, root: Path, making: Making | None) -> Addition:
    record, image = read_picture(path)
    name, raw, inside = recorded(path, root)
    return Addition(
        id=record.id,
        width=record.width,
        height=record.height,
        media=record.media,
        frames=record.frames,
        added=MADE,
        file=File(name, raw, inside, record.file_sha256, record.bytes, record.mtime_ns),
        making=making or record.making,
        look=None,
        colours=dominant_colours(image),
    )
