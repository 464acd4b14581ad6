"""Placing: a file takes its place in a library whole, for good, and over nothing else.

Bytes are written under a temporary name in the same folder, synced, and then get their name, which
must be free; the folder is synced too. Names are plain ASCII that every system takes. This file
knows nothing of the catalogue: until a row speaks of a file, it is an orphan.
"""

from __future__ import annotations

import errno
import os
import re
import tempfile
import unicodedata
from collections.abc import Collection, Iterator
from contextlib import suppress
from datetime import date
from pathlib import Path

from index import faults
from index.atomic import disk_refusals, give_name, sync_folder

LONGEST_SLUG = 60
SUFFIXES = {
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/webp": ".webp",
    "image/gif": ".gif",
    "image/bmp": ".bmp",
    "image/tiff": ".tif",
    "image/avif": ".avif",
    "image/jp2": ".jp2",
}
_TRIES = 10
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)", re.IGNORECASE)


def slug(text: str, longest: int = LONGEST_SLUG) -> str:
    """Whole words of the text as a-z, 0-9 and '-'; never empty, never a name Windows reserves."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii")
    kept = ""
    for word in re.findall(r"[a-z0-9]+", plain.lower()):
        longer = f"{kept}-{word}" if kept else word[:longest]
        if len(longer) > longest:
            break
        kept = longer
    return f"picture-{kept}".strip("-") if not kept or _RESERVED.fullmatch(kept) else kept


def day_folder(root: Path, day: date) -> Path:
    """Where the pictures of a local day stand: `pictures/YYYY/MM/DD`."""
    return root / "pictures" / f"{day:%Y}" / f"{day:%m}" / f"{day:%d}"


def place(folder: Path, name: str, data: bytes, taken: Collection[Path] = ()) -> Path:
    """Write data as `folder/name`, or as `stem-1.ext` and so on when that is taken.

    taken: names that are not free although no file is there now
    When this returns, the file outlives a power cut. Raises DiskFull or LibraryReadOnly.
    """
    with disk_refusals(folder):
        descriptor, temporary = _temporary(folder)
        try:
            with open(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            faults.reach("placing")
            placed = _named(Path(temporary), folder / name, taken)
            sync_folder(folder)
            return placed
        finally:
            Path(temporary).unlink(missing_ok=True)


def move(source: Path, target: Path) -> Path:
    """Give a file another place, or a like name when that one is taken.

    Unlike `place` it does not wait for the disk.
    """
    with disk_refusals(target.parent):
        make_folders(target.parent)
        try:
            placed = _named(source, target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            placed = place(target.parent, target.name, source.read_bytes())
        source.unlink(missing_ok=True)
        return placed


def make_folders(folder: Path) -> None:
    """Make a folder and those above it, for their owner alone, to outlive a power cut."""
    missing = [f for f in (folder, *folder.parents) if not f.exists()]
    for path in reversed(missing):
        path.mkdir(mode=0o700, exist_ok=True)
        sync_folder(path.parent)


def _temporary(folder: Path) -> tuple[int, str]:
    """An empty file to write to; another writer may remove a folder that is empty."""
    for _ in range(_TRIES):
        make_folders(folder)
        with suppress(FileNotFoundError):
            return tempfile.mkstemp(prefix=".", suffix=".partial", dir=folder)
    return tempfile.mkstemp(prefix=".", suffix=".partial", dir=folder)


def _named(source: Path, target: Path, taken: Collection[Path] = ()) -> Path:
    """Give the file the first free name, beside its old one."""
    for path in _names(target):
        if path in taken:
            continue
        try:
            give_name(source, path)
        except FileExistsError:
            continue
        return path
    raise AssertionError("names do not run out")


def _names(target: Path) -> Iterator[Path]:
    yield target
    for number in range(1, 1_000_000):
        yield target.with_name(f"{target.stem}-{number}{target.suffix}")
