"""Duplicates: four ways in which a library can hold a thing more than once, told apart.

- files: one file, byte for byte, at several paths
- pixels: one picture in several files that differ
- near: pictures that are one but for encoding, size, or edges that were cut off a little
- similar: pictures that only look alike

Nothing is changed here. Pictures in the trash and in hidden sets take no part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from index import registered, vectors
from index.entry import absolute
from index.phashes import phashes

if TYPE_CHECKING:
    import duckdb

    from index.lookalikes import Stars
    from index.store import Store

Kind = Literal["files", "pixels", "near", "similar"]
Keep = Literal["best", "oldest", "newest"]
KINDS: tuple[Kind, ...] = ("files", "pixels", "near", "similar")

# Best is what tells how it was made, then the largest, then what lost nothing to its format.
ORDERS: dict[Keep, str] = {
    "best": "producer IS NULL, width * height DESC, "
    "media NOT IN ('image/png', 'image/tiff', 'image/bmp'), bytes DESC, added, seq",
    "oldest": "added, seq",
    "newest": "added DESC, seq DESC",
}
_SAME_BYTES = "1 < count(*) OVER (PARTITION BY f.file_sha256)"
# of files that are equal, one stands for all
_SAME_PIXELS = (
    "1 < count(DISTINCT f.file_sha256) OVER (PARTITION BY picture) AND 1 = row_number() OVER "
    "(PARTITION BY picture, f.file_sha256 ORDER BY main DESC, f.path)"
)


@dataclass(frozen=True)
class Copy:
    """One member of a group.

    id: of its picture; path: absolute; bytes: of the file; width, height: pixels
    likeness: cosine with the group's first, 1 for the same picture
    """

    id: str
    path: Path
    bytes: int
    width: int
    height: int
    likeness: float


@dataclass(frozen=True)
class Group:
    """Copies of one thing; the first is the one to keep."""

    kind: Kind
    copies: tuple[Copy, ...]


def duplicates(store: Store, kinds: Sequence[Kind] = KINDS, keep: Keep = "best") -> list[Group]:
    """The groups of these kinds, kind by kind; a picture is in one group of a kind at most.

    Raises LibraryBusy, DiskFull and their kin.
    """
    found: list[Group] = []
    with store.reading() as connection:
        if "files" in kinds:
            found += _of_files(connection, store.root, "files", _SAME_BYTES, "f.file_sha256")
        if "pixels" in kinds:
            found += _of_files(connection, store.root, "pixels", _SAME_PIXELS, "l.id")
    if "near" in kinds or "similar" in kinds:
        found += [group for group in _of_pictures(store, keep) if group.kind in kinds]
    return found


def _of_files(
    connection: duckdb.DuckDBPyConnection, root: Path, kind: Kind, condition: str, one: str
) -> list[Group]:
    """Files that are copies, gathered by what is one in a group; the main file first."""
    rows = connection.execute(
        "SELECT f.path, f.raw_path, f.inside, l.id, f.bytes, l.width, l.height, "  # noqa: S608
        f"{one} AS one FROM files f JOIN library l ON l.seq = picture WHERE NOT hidden "
        f"QUALIFY {condition} ORDER BY l.seq, one, main DESC, f.path"
    ).fetchall()
    groups: dict[str, list[Copy]] = {}
    for *place, id, size, width, height, key in rows:
        copy = Copy(id, absolute(root, *place), size, width, height, 1.0)
        groups.setdefault(key, []).append(copy)
    return [Group(kind, tuple(copies)) for copies in groups.values()]


def _of_pictures(store: Store, keep: Keep) -> list[Group]:
    import numpy as np

    from index.lookalikes import Compared, lookalikes

    with store.reading() as connection:
        copies = _shown(connection, store.root, keep)
        numbers, rows = vectors.read(
            connection, registered.active(connection).fingerprint, "true", []
        )
    hashes = phashes(store, list(copies))
    places = {number: place for place, number in enumerate(numbers.tolist())}
    known = [number for number in copies if number in hashes and number in places]
    kept = [copies[number] for number in known]
    near, similar = lookalikes(
        Compared(
            store.root,
            [copy.id for copy in kept],
            [copy.path for copy in kept],
            np.array([copy.width / copy.height for copy in kept]),
            rows[[places[number] for number in known]],
            np.array([hashes[number] for number in known], np.uint64),
        )
    )
    return [*_groups("near", near, kept), *_groups("similar", similar, kept)]


def _shown(connection: duckdb.DuckDBPyConnection, root: Path, keep: Keep) -> dict[int, Copy]:
    """Every picture that can be seen, by number, those to keep first."""
    rows = connection.execute(
        "SELECT path, raw_path, inside, seq, id, bytes, width, height FROM library "  # noqa: S608
        f"WHERE NOT hidden AND path IS NOT NULL ORDER BY {ORDERS[keep]}"
    ).fetchall()
    return {
        number: Copy(id, absolute(root, *place), size, width, height, 1.0)
        for *place, number, id, size, width, height in rows
    }


def _groups(kind: Kind, stars: Stars, copies: Sequence[Copy]) -> list[Group]:
    return [
        Group(
            kind,
            (copies[centre], *(replace(copies[n], likeness=cosine) for n, cosine in likes.items())),
        )
        for centre, likes in stars.items()
    ]
