"""Export: pictures leave the library as a clean data set, each format in its own file.

Pictures are numbered in the order given and keep their pixels. How much of their making goes along
is the caller's word: `none` and `prompt` leave nothing else in names, files or tables, and not even
that they once had another name; `full` copies the files as they are. The checksums of everything
written are in `manifest.json`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from index.errors import BadQuery
from index.export import csv, folder, jsonl, manifest, parquet, sheet
from index.export.bundle import bundle
from index.export.rows import Metadata, Row, columns, row_of
from index.store import Store

if TYPE_CHECKING:
    from index.entry import Entry
    from index.library import Library

__all__ = ["Format", "Metadata", "export"]

Format = Literal["folder", "csv", "jsonl", "parquet", "sheet"]
OnProgress = Callable[[int, int], None]
_TABLES: dict[str, Callable[[Path, Sequence[Row], dict[str, str]], None]] = {
    "csv": csv.write,
    "jsonl": jsonl.write,
    "parquet": parquet.write,
}


def export(
    library: Library | Store,
    entries: Sequence[Entry],
    to: Path | str,
    format: Format = "folder",
    metadata: Metadata = "none",
    force: bool = False,
    on_progress: OnProgress | None = None,
) -> list[Path]:
    """Write pictures into the folder `to`; returns the paths of all that was written.

    to: made when it does not stand; what else is in it is left alone
    format: `folder` is the pictures, `csv`, `jsonl` and `parquet` add a table of them, `sheet` is
        contact sheets instead of the pictures
    force: replace files of the same names; without it ExportExists, before anything is written
    on_progress: called with how many pictures are done and how many there are
    An interruption leaves the folder as it was. Raises ExportExists, BadQuery, UnreadableImage,
    DiskFull or LibraryReadOnly.
    """
    _refuse_unknown(entries, format, metadata)
    store = library if isinstance(library, Store) else library.store
    stems = (sheet if format == "sheet" else folder).stems(len(entries))
    with bundle(Path(to), stems, store.root, force) as (out, written):
        if format == "sheet":
            rows = []
            sheet.write(store, entries, out, metadata, on_progress)
        else:
            pictures = folder.write(store, entries, out, metadata, on_progress)
            rows = [row_of(picture, metadata) for picture in pictures]
        if format in _TABLES:
            _TABLES[format](out, rows, columns(metadata))
        manifest.write(out, format, metadata, rows if format == "folder" else [])
    return written


def _refuse_unknown(entries: Sequence[Entry], format: str, metadata: str) -> None:
    if format not in get_args(Format):
        raise BadQuery(f"{format!r} is no format.", f"Formats: {', '.join(get_args(Format))}.")
    if metadata not in get_args(Metadata):
        raise BadQuery(f"{metadata!r} is no choice.", f"Give {', '.join(get_args(Metadata))}.")
    if not entries:
        raise BadQuery("There is nothing to export.", "See what is there: sovgen list")
