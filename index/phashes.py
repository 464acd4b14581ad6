"""Phashes: the perceptual hashes of a library's pictures, computed when they are first needed.

They are a cache of what the thumbnails say, so they belong to no journal and to no backup's
promise. A picture whose thumbnail is gone or damaged is read from its file; one that cannot be read
has none.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from PIL import Image

from index import catalogue
from index.errors import LibraryReadOnly, UnreadableImage
from index.phash import phash
from index.record import read_picture
from index.thumbnails import read_thumbnail

if TYPE_CHECKING:
    from pathlib import Path

    import duckdb

    from index.entry import Entry
    from index.store import Store

_BATCH = 2000
_THREADS = 4


def phashes(store: Store, numbers: Sequence[int]) -> dict[int, int]:
    """The hashes of these pictures; those not known yet are computed, and kept where it can be.

    A read-only library is answered too. Raises LibraryBusy or DiskFull.
    """
    with store.reading() as connection:
        known = _kept(connection)
        unknown = [number for number in numbers if number not in known]
        entries = catalogue.entries(connection, store.root, unknown)
    for batch in _computed(entries, store.root):
        known.update(batch)
        try:
            _keep(store, batch)
        except LibraryReadOnly:
            continue
    return {number: known[number] for number in numbers if number in known}


def picture_of(id: str, path: Path, root: Path) -> Image.Image | None:
    """A picture's thumbnail, or its file read anew; None when neither can be read."""
    if thumbnail := read_thumbnail(id, root):
        with Image.open(io.BytesIO(thumbnail)) as image:
            image.load()
            return image
    try:
        return read_picture(path)[1]
    except UnreadableImage:
        return None


def _kept(connection: duckdb.DuckDBPyConnection) -> dict[int, int]:
    return dict(connection.execute("SELECT picture, hash FROM phashes").fetchall())


def _computed(entries: Sequence[Entry], root: Path) -> Iterator[dict[int, int]]:
    """Hashes by number, a batch at a time: one that is interrupted keeps what it did."""

    def hashed(entry: Entry) -> int | None:
        image = picture_of(entry.id, entry.path, root)
        return None if image is None else phash(image)

    with ThreadPoolExecutor(_THREADS) as threads:
        for start in range(0, len(entries), _BATCH):
            batch = entries[start : start + _BATCH]
            found = zip(batch, threads.map(hashed, batch), strict=True)
            yield {entry.seq: hash for entry, hash in found if hash is not None}


def _keep(store: Store, hashes: Mapping[int, int]) -> None:
    """Write hashes down, once each, and drop those of pictures that are gone for good."""
    with store.writing() as connection:
        connection.execute(
            "DELETE FROM phashes WHERE picture IN $1 OR picture NOT IN (SELECT seq FROM pictures)",
            [list(hashes)],
        )
        catalogue.fill(
            connection,
            "INSERT INTO phashes SELECT unnest($1::BIGINT[]), unnest($2::UBIGINT[])",
            list(hashes.items()),
        )
