"""Verify: rows, files, vectors and checksums against each other; every difference is listed.

Nothing is changed here; `index.repair` mends. This file does not decide how bad a difference is.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from index import registered, vectors
from index.entry import absolute

if TYPE_CHECKING:
    import duckdb

    from index.store import Store

Kind = Literal["missing", "changed", "orphan", "partial", "no-vector", "no-file", "snapshot"]


@dataclass(frozen=True)
class Difference:
    """Something that does not agree.

    where: the picture's id, or a path; text: one line that says what
    """

    kind: Kind
    where: str
    text: str


def verify(store: Store) -> list[Difference]:
    """Every difference there is; an empty list means that the library is whole."""
    with store.reading() as connection:
        files = _recorded(connection, store.root)
        found = [*_pictures(connection)]
    found += [d for path, (id, sha256) in files.items() for d in _file(path, id, sha256)]
    found += _strangers(store.root, set(files))
    return found


def _recorded(connection: duckdb.DuckDBPyConnection, root: Path) -> dict[Path, tuple[str, str]]:
    rows = connection.execute(
        "SELECT f.path, f.raw_path, f.inside, p.id, f.file_sha256, d.seq IS NOT NULL "
        "FROM files f JOIN pictures p ON p.seq = f.picture "
        "LEFT JOIN deleted d ON d.seq = p.seq ORDER BY f.path"
    ).fetchall()
    places: dict[Path, tuple[str, str]] = {}
    for path, raw, inside, id, sha256, deleted in rows:
        place = absolute(root, path, raw, inside)
        if deleted and inside:
            place = root / "trash" / id / place.relative_to(root)
        places[place] = (id, sha256)
    return places


def _pictures(connection: duckdb.DuckDBPyConnection) -> Iterator[Difference]:
    table = vectors.table(registered.active(connection).fingerprint)
    for (id,) in connection.execute(
        f"SELECT id FROM pictures WHERE seq NOT IN (SELECT picture FROM {table}) ORDER BY seq"  # noqa: S608
    ).fetchall():
        yield Difference("no-vector", id, "has no vector, so that search cannot find it")
    for (id,) in connection.execute(
        "SELECT id FROM pictures WHERE seq NOT IN (SELECT picture FROM files) ORDER BY seq"
    ).fetchall():
        yield Difference("no-file", id, "has no file on record")


def _file(path: Path, id: str, sha256: str) -> Iterator[Difference]:
    try:
        with path.open("rb") as file:
            now = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        yield Difference("missing", id, f"its file {path} cannot be read: {error.strerror}")
        return
    if now != sha256:
        yield Difference("changed", id, f"its file {path} holds other bytes than recorded")


def _strangers(root: Path, known: set[Path]) -> Iterator[Difference]:
    """Files in the library's picture folders that no row speaks of."""
    for top in ("pictures", "trash"):
        for parent, folders, names in os.walk(root / top):
            folders[:] = sorted(f for f in folders if not f.startswith("."))
            for name in sorted(names):
                path = Path(parent, name)
                if name.endswith(".partial"):
                    yield Difference("partial", str(path), "is left of an interrupted write")
                elif path not in known:
                    yield Difference("orphan", str(path), "belongs to no picture on record")
