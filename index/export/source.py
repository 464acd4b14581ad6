"""The file that a picture is exported from: the first of its files that still is the picture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from index.entry import absolute
from index.errors import UnreadableImage
from index.record import Record, picture_of, read_bytes

if TYPE_CHECKING:
    from PIL import Image

    from index.entry import Entry
    from index.store import Store


@dataclass(frozen=True)
class Source:
    """A picture's file, read and decoded once."""

    data: bytes
    record: Record
    image: Image.Image


def read_source(store: Store, entry: Entry) -> Source:
    """The picture's main file, or another of its files when that is gone or has changed.

    Raises UnreadableImage about the main file when none is left.
    """
    try:
        return _read(entry.path, entry.id)
    except UnreadableImage as error:
        for path in _others(store, entry):
            try:
                return _read(path, entry.id)
            except UnreadableImage:
                continue
        error.hint = "See what else is amiss: sovgen library verify"
        raise


def _read(path: Path, id: str) -> Source:
    data, mtime_ns = read_bytes(path)
    record, image = picture_of(path, data, mtime_ns)
    if record.id != id:
        raise UnreadableImage(path, "it holds another picture than the library recorded")
    return Source(data, record, image)


def _others(store: Store, entry: Entry) -> Iterator[Path]:
    with store.reading() as connection:
        rows = connection.execute(
            "SELECT path, raw_path, inside FROM files WHERE picture = ? AND NOT main ORDER BY path",
            [entry.seq],
        ).fetchall()
    for path, raw_path, inside in rows:
        yield absolute(store.root, path, raw_path, inside)
