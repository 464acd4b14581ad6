"""Verify: rows, files, vectors and checksums against each other; every difference is listed.

Nothing is changed here; `index.repair` mends. This file does not decide how bad a difference is.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from index import agreement, catchup, hiding, looks, registered, snapshot, sound, vectors, words
from index.places import Place, places
from index.proof import prove
from index.store import CATALOGUE
from index.thumbnails import read_thumbnail
from index.trash import OF_PICTURE

if TYPE_CHECKING:
    import duckdb

    from index.looks import Look
    from index.store import Store

    Check = Callable[[duckdb.DuckDBPyConnection, Path], Iterator["Difference"]]

Kind = Literal[
    "missing",
    "changed",
    "orphan",
    "partial",
    "no-vector",
    "no-file",
    "thumbnail",
    "stray",
    "twice",
    "future",
    "words",
    "snapshot",
    "journal",
    "behind",
]


ABANDONED_S = 600.0
# Clocks of two machines may differ by a little, and nobody has to hear of it.
AHEAD = timedelta(hours=1)


@dataclass(frozen=True)
class Difference:
    """Something that does not agree.

    where: the picture's id, or a path; text: one line that says what
    """

    kind: Kind
    where: str
    text: str


def verify(store: Store) -> list[Difference]:
    """Every difference there is; an empty list means that the library is whole.

    Turns are of one question, and files are read between them, so that nobody who writes waits for
    all of it.
    Raises LibraryDamaged when a block of the catalogue is not what was written.
    """
    prove(store)
    found = list(_snapshot_bytes(store))
    looks.take(store, [_noting(found, check, store.root) for check in _CHECKS])
    for name in agreement.differing(store):
        text = "is not in the journal as it is on record"
        found.append(Difference("journal", name, text))
    on_disk = list(_on_disk(store))
    if on_disk:
        # others may have added or deleted between our look at rows and files; what is wrong stays
        again = set(_on_disk(store))
        on_disk = [difference for difference in on_disk if difference in again]
    return list(dict.fromkeys(found)) + on_disk


def _noting(found: list[Difference], check: Check, root: Path) -> Look:
    def look(connection: duckdb.DuckDBPyConnection) -> tuple[()]:
        found.extend(check(connection, root))
        return ()

    return look


def _on_disk(store: Store) -> Iterator[Difference]:
    with store.reading() as connection:
        files = places(connection, store.root)
        shown = hiding.shown(connection)
    for place in files:
        yield from _file(place)
    for id in shown:
        if read_thumbnail(id, store.root) is None:
            yield Difference("thumbnail", id, "has no thumbnail, or a damaged one")
    yield from _strangers(store.root, {place.path for place in files})


def _vectors(connection: duckdb.DuckDBPyConnection, root: Path) -> Iterator[Difference]:
    table = vectors.table(registered.active(connection).fingerprint)
    for (id,) in connection.execute(
        f"SELECT id FROM pictures WHERE seq NOT IN (SELECT picture FROM {table}) ORDER BY seq"  # noqa: S608
    ).fetchall():
        yield Difference("no-vector", id, "has no vector, so that search cannot find it")


def _files(connection: duckdb.DuckDBPyConnection, root: Path) -> Iterator[Difference]:
    for (id,) in connection.execute(
        "SELECT id FROM pictures WHERE seq NOT IN (SELECT picture FROM files) ORDER BY seq"
    ).fetchall():
        yield Difference("no-file", id, "has no file on record")


def _strays(connection: duckdb.DuckDBPyConnection, root: Path) -> Iterator[Difference]:
    strays = (
        f"SELECT DISTINCT '{table}' AS holder, picture FROM {table} "  # noqa: S608
        "WHERE picture NOT IN (SELECT seq FROM pictures)"
        for table in (*OF_PICTURE, *vectors.tables(connection))
    )
    for name, number in connection.execute(
        f"{' UNION ALL '.join(strays)} ORDER BY holder, picture"
    ).fetchall():
        yield Difference("stray", f"{name} {number}", "is a row of no picture")


def _twice(connection: duckdb.DuckDBPyConnection, root: Path) -> Iterator[Difference]:
    for (id,) in connection.execute(
        "SELECT id FROM pictures GROUP BY id HAVING count(*) > 1 OR count(DISTINCT seq) > 1"
    ).fetchall():
        yield Difference("twice", id, "is on record more than once")


def _future(connection: duckdb.DuckDBPyConnection, root: Path) -> Iterator[Difference]:
    for id, added in connection.execute(
        "SELECT id, added FROM pictures WHERE added > ? ORDER BY seq", [latest()]
    ).fetchall():
        yield Difference("future", id, f"was added by a clock that was ahead, at {added} UTC")


def _words(connection: duckdb.DuckDBPyConnection, root: Path) -> Iterator[Difference]:
    if stale := words.stale(connection):
        for (id,) in connection.execute(
            "SELECT id FROM pictures WHERE seq IN ? ORDER BY seq", [stale]
        ).fetchall():
            yield Difference("words", id, "is found by other words than are written of it")


def _behind(connection: duckdb.DuckDBPyConnection, root: Path) -> Iterator[Difference]:
    if catchup.is_behind(connection, root):
        text = "has lost changes that the journal tells of; whoever writes next puts them back"
        yield Difference("behind", CATALOGUE, text)


def latest() -> datetime:
    """The latest moment, in UTC, at which a picture can have been added."""
    return datetime.now(UTC).replace(tzinfo=None) + AHEAD


def _snapshot_bytes(store: Store) -> Iterator[Difference]:
    """Read outside of turns: nothing changes a snapshot, another may only take its place."""
    with store.reading() as connection:
        active = registered.active(connection)
    pointer = snapshot.folder_of(store.root, active) / snapshot.POINTER
    told, whole = _read(pointer), snapshot.current(store.root, active, fresh=True)
    while (now := _read(pointer)) != told:
        told, whole = now, snapshot.current(store.root, active, fresh=True)
    if told is not None and whole is None:
        yield Difference("snapshot", str(pointer), _UNSOUND)
    snapshot.current(store.root, active)  # remembered from here on, so that no turn reads it


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _snapshot(connection: duckdb.DuckDBPyConnection, root: Path) -> Iterator[Difference]:
    """A snapshot that is there and may not be used; search does without it and rebuilds it."""
    active = registered.active(connection)
    pointer = snapshot.folder_of(root, active) / snapshot.POINTER
    held = sound.current(connection, root, active)
    if pointer.exists() and held is None:
        yield Difference("snapshot", str(pointer), _UNSOUND)
    if held is not None and len(held.gone):
        yield Difference("snapshot", str(pointer), "still holds what was emptied from the trash")


_UNSOUND = "is damaged or of other rows than these"
_CHECKS = (_vectors, _files, _strays, _twice, _future, _words, _snapshot, _behind)


def _file(place: Place) -> Iterator[Difference]:
    try:
        with place.path.open("rb") as file:
            now = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        yield Difference("missing", place.id, f"its file {place.path}: {error.strerror}")
        return
    if now != place.file_sha256:
        yield Difference("changed", place.id, f"its file {place.path} holds other bytes")


def _strangers(root: Path, known: set[Path]) -> Iterator[Difference]:
    """Files in the library's picture folders that no row speaks of."""
    for top in ("pictures", "trash"):
        for parent, folders, names in os.walk(root / top):
            folders[:] = sorted(f for f in folders if not f.startswith("."))
            for name in sorted(names):
                path = Path(parent, name)
                if name.endswith(".partial"):
                    if _is_abandoned(path):
                        yield Difference("partial", str(path), "is left of an interrupted write")
                elif path not in known:
                    yield Difference("orphan", str(path), "belongs to no picture on record")


def _is_abandoned(path: Path) -> bool:
    """Whether nobody can be writing it any more."""
    try:
        return time.time() - path.stat().st_mtime > ABANDONED_S
    except FileNotFoundError:
        return False
