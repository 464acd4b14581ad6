"""Backup: a whole library in one file, consistent however much others write meanwhile.

A zip without compression: the catalogue, the journal, the thumbnails, and every picture file under
its sha256. Most files are copied while others work; within one reader's turn the few that came
since are, and the catalogue is set aside, so that the two belong together. Files that stand outside
the library are not in it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from index import faults, hiding, journal
from index.atomic import disk_refusals, give_name
from index.errors import ExportExists, LibraryDamaged, LibraryExists, NoLibrary
from index.places import Place, places
from index.placing import make_folders
from index.store import CATALOGUE, Store
from index.thumbnails import read_thumbnail, thumbnail_path

if TYPE_CHECKING:
    import duckdb

JOURNAL = "journal.jsonl"
_CATALOGUE = (CATALOGUE, f"{CATALOGUE}.wal")
_STEP = 1 << 20
# zipfile raises RuntimeError over a flag that says "encrypted" or a method that it does not know.
_NO_BACKUP = (zipfile.BadZipFile, NoLibrary, KeyError, ValueError, EOFError, RuntimeError)


@dataclass(frozen=True)
class Backup:
    """What a backup holds, and the ids of pictures that had a file missing or changed."""

    path: Path
    pictures: int
    bytes: int
    lacking: list[str]


def backup(store: Store, path: Path) -> Backup:
    """Write a library into a new file. Raises ExportExists when it stands, DiskFull and its kin."""
    if path.exists():
        raise ExportExists(f"{path} stands already.", "Name another file.")
    make_folders(path.parent)
    with _archive(path) as archive, _aside(path.parent) as aside:
        held: set[str] = set()
        with store.reading() as connection:
            files, shown = _inside(connection, store.root), hiding.shown(connection)
        _copy(archive, files, held)
        _copy_thumbnails(archive, store.root, shown)
        with store.reading() as connection:
            files = _inside(connection, store.root)
            _copy(archive, files, held)
            late = set(hiding.shown(connection)).difference(shown)
            _copy_thumbnails(archive, store.root, sorted(late))
            _set_aside(store, aside)
            row = connection.execute("SELECT count(*) FROM pictures").fetchone()
        for copy in sorted(aside.iterdir()):
            archive.write(copy, copy.name)
        archive.comment = _contents(archive)
    lacking = sorted({place.id for place in files if place.file_sha256 not in held})
    return Backup(path, int(row[0]) if row else 0, path.stat().st_size, lacking)


def restore(path: Path, root: Path) -> Backup:
    """Lay the library of a backup in a folder that is empty or not there yet.

    Raises LibraryExists, or LibraryDamaged when the backup cannot be read; then there is no folder.
    """
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise LibraryExists(f"{root} is not empty.", "Name another folder.")
    make_folders(root.parent)
    with (
        disk_refusals(root.parent),
        tempfile.TemporaryDirectory(prefix=f".{root.name}.", dir=root.parent) as temporary,
    ):
        laid = Path(temporary) / "library"
        try:
            with zipfile.ZipFile(path) as archive:
                _lay(archive, laid)
        except _NO_BACKUP as error:
            raise _unreadable(path) from error
        with Store(laid).reading() as connection:
            files = _inside(connection, laid)
            row = connection.execute("SELECT count(*) FROM pictures").fetchone()
        lacking = sorted({place.id for place in files if not place.path.exists()})
        if root.exists():
            root.rmdir()
        faults.reach("laid")
        os.replace(laid, root)
    return Backup(path, int(row[0]) if row else 0, path.stat().st_size, lacking)


def _inside(connection: duckdb.DuckDBPyConnection, root: Path) -> list[Place]:
    return [place for place in places(connection, root) if place.inside]


@contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """A zip that gets its name once it is whole and on the disk."""
    with disk_refusals(path.parent):
        descriptor, name = tempfile.mkstemp(prefix=".", suffix=".partial", dir=path.parent)
        try:
            with open(descriptor, "wb") as file:
                with zipfile.ZipFile(file, "w", strict_timestamps=False) as archive:
                    yield archive
                file.flush()
                os.fsync(file.fileno())
            faults.reach("archived")
            give_name(Path(name), path)
        finally:
            Path(name).unlink(missing_ok=True)


def _copy(archive: zipfile.ZipFile, files: Iterable[Place], held: set[str]) -> None:
    """Add files that are there and are what they should be, each content once."""
    for place in files:
        if place.file_sha256 in held:
            continue
        try:
            data = place.path.read_bytes()
        except FileNotFoundError:
            continue  # moved since it was listed, or lost: the second look tells
        if hashlib.sha256(data).hexdigest() == place.file_sha256:
            archive.writestr(f"files/{place.file_sha256}", data)
            held.add(place.file_sha256)


def _copy_thumbnails(archive: zipfile.ZipFile, root: Path, ids: Iterable[str]) -> None:
    for id in ids:
        if data := read_thumbnail(id, root):
            archive.writestr(_thumbnail(id), data)


def _thumbnail(id: str) -> str:
    return thumbnail_path(id, Path()).as_posix()


def _contents(archive: zipfile.ZipFile) -> bytes:
    """A checksum of the table of contents, which a zip itself has none of."""
    told = [(info.filename, info.file_size, info.CRC) for info in archive.infolist()]
    return hashlib.sha256(repr(told).encode()).hexdigest().encode()


@contextmanager
def _aside(parent: Path) -> Iterator[Path]:
    """A folder for what has to be copied fast: into a zip a byte takes several times as long."""
    with (
        disk_refusals(parent),
        tempfile.TemporaryDirectory(prefix=".", suffix=".partial", dir=parent) as folder,
    ):
        yield Path(folder)


def _set_aside(store: Store, folder: Path) -> None:
    """Nobody writes in a reader's turn, so the catalogue, its log and the journal are one state."""
    named = {name: store.root / name for name in _CATALOGUE}
    for name, path in {**named, JOURNAL: journal.path_of(store.root)}.items():
        if path.exists():
            shutil.copyfile(path, folder / name)


def _lay(archive: zipfile.ZipFile, root: Path) -> None:
    if archive.comment != _contents(archive):
        raise zipfile.BadZipFile("Its table of contents is not what was written.")
    for folder in (root, *(root / name for name in ("pictures", "vectors", "trash", "locks"))):
        make_folders(folder)
    there = set(archive.namelist())
    for name in there.intersection(_CATALOGUE):
        _extract(archive, name, root / name)
    if JOURNAL in there:
        _extract(archive, JOURNAL, journal.path_of(root))
    with Store(root).reading() as connection:
        files, shown = _inside(connection, root), hiding.shown(connection)
    for place in files:
        if f"files/{place.file_sha256}" in there:
            _extract(archive, f"files/{place.file_sha256}", place.path)
    for id in shown:
        if _thumbnail(id) in there:
            _extract(archive, _thumbnail(id), thumbnail_path(id, root))


def _extract(archive: zipfile.ZipFile, name: str, target: Path) -> None:
    """Write one member; zipfile checks its CRC."""
    make_folders(target.parent)
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with archive.open(name) as source, open(descriptor, "wb") as file:
        while data := source.read(_STEP):
            file.write(data)


def _unreadable(path: Path) -> LibraryDamaged:
    return LibraryDamaged(
        f"The backup {path} cannot be read.", "It is no backup, or it was cut short or changed."
    )
