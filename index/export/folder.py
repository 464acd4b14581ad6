"""Format `folder`: the pictures, numbered in their order: 000001.png and so on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from index.export.cleaning import cleaned
from index.export.rows import Metadata, Outgoing
from index.export.source import Source, read_source
from index.placing import SUFFIXES

if TYPE_CHECKING:
    from index.entry import Entry
    from index.store import Store

_MEDIA = {suffix: media for media, suffix in SUFFIXES.items()}


def stems(count: int) -> set[str]:
    """The names, without suffixes, that an export of so many pictures writes."""
    return {f"{number:06d}" for number in range(1, count + 1)} | {"manifest", "metadata"}


def write(
    store: Store,
    entries: Sequence[Entry],
    out: Path,
    metadata: Metadata,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Outgoing]:
    """Write the pictures into a folder: as they are with `full`, else nothing but pixels.

    Raises UnreadableImage for a picture whose files are gone or changed.
    """
    written = []
    for number, entry in enumerate(entries, 1):
        source = read_source(store, entry)
        written.append(_write_one(source, entry, out / f"{number:06d}", metadata))
        if on_progress is not None:
            on_progress(number, len(entries))
    return written


def _write_one(source: Source, entry: Entry, path: Path, metadata: Metadata) -> Outgoing:
    if metadata == "full":
        data, suffix = source.data, SUFFIXES.get(source.record.media, ".bin")
    else:
        data, suffix = cleaned(source.data, source.record, source.image)
    path = path.with_suffix(suffix)
    path.write_bytes(data)
    return Outgoing(
        entry=entry,
        file_name=path.name,
        sha256=hashlib.sha256(data).hexdigest(),
        bytes=len(data),
        width=source.record.width,
        height=source.record.height,
        media=_MEDIA.get(suffix, source.record.media),
    )
