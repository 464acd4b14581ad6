"""Snapshot: the vectors of one encoder as a FAISS index on disk, a cache that can always go.

A snapshot is a file named by its contents and, written last, a small pointer `CURRENT` that says
which file counts and what it must hold. Nothing is ever changed in place: whoever has the old file
mapped keeps it. A file that is missing, cut short or has one bit flipped is no snapshot; nor is
one whose rows are not the catalogue's. This file knows nothing of queries.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from index import blocks, faults
from index.atomic import disk_refusals, write_atomically
from index.hashes import remembered, sha256_of

if TYPE_CHECKING:
    from index.registered import Registered

POINTER = "CURRENT"
_PLAIN = ("file", "sha256", "fingerprint", "width", "count", "total", "high_water")


@dataclass(frozen=True)
class Plan:
    """How an index lies and is searched, and why.

    exact_ms: what scanning all of it took where it was made
    trained: how many rows there were when its clusters were found; 0 where it lies in pages
    lists: how many there are; probes: how many an unfiltered search goes through; recall: with them
    """

    exact_ms: float
    lists: int
    trained: int = 0
    probes: int = 0
    recall: float = 1.0

    @property
    def is_exact(self) -> bool:
        """Whether every search goes through every row."""
        return not 0 < self.probes < self.lists


@dataclass(frozen=True)
class Snapshot:
    """What the pointer says.

    file: its name; sha256: of its bytes; fingerprint, width: of the encoder
    count, total: how many pictures' numbers it holds, and their sum; high_water: the largest
    plan: how it lies, and how it is searched; sums: of the file's blocks (see `index.blocks`)
    """

    file: str
    sha256: str
    fingerprint: str
    width: int
    count: int
    total: int
    high_water: int
    plan: Plan
    sums: tuple[int, ...]


def folder_of(root: Path, active: Registered) -> Path:
    """Where the snapshots of an encoder lie: `vectors/<fingerprint[:16]>`."""
    return root / "vectors" / active.fingerprint[:16]


def current(root: Path, active: Registered, *, fresh: bool = False) -> Snapshot | None:
    """The snapshot that counts, its bytes proved; None when there is none.

    By the sums of its blocks, once per file, remembered by size and time (`index.hashes`).
    fresh: by sha256 instead, whatever is remembered, which takes several times as long
    """
    folder = folder_of(root, active)
    try:
        values = json.loads((folder / POINTER).read_bytes())
        plan = Plan(**values.pop("plan"))
        sums = tuple(map(int, values["sums"]))
        snapshot = Snapshot(plan=plan, sums=sums, **{n: values[n] for n in _PLAIN})
        sound = _is_whole(folder / snapshot.file, snapshot, fresh)
    except (OSError, ValueError, TypeError, KeyError):
        return None
    same = (snapshot.fingerprint, snapshot.width) == (active.fingerprint, active.width)
    return snapshot if sound and same else None


def _is_whole(path: Path, snapshot: Snapshot, fresh: bool) -> bool:
    if fresh:
        return sha256_of(path, fresh=True) == snapshot.sha256
    return remembered("sums", [path], lambda: _told(blocks.sums_of(path))) == _told(snapshot.sums)


def _told(sums: tuple[int, ...]) -> str:
    """Sums of blocks, in short."""
    return hashlib.sha256(json.dumps(sums).encode()).hexdigest()


def loaded(folder: Path, snapshot: Snapshot) -> Any | None:  # noqa: ANN401
    """The FAISS index, read into memory to be added to; None when it is not what was written.

    Its bytes are proved again: what was remembered of them says nothing of what rotted since, and
    what is made of them would be taken for sound.
    """
    import faiss

    faiss.omp_set_num_threads(1)
    path = folder / snapshot.file
    try:
        return faiss.read_index(str(path)) if blocks.sums_of(path) == snapshot.sums else None
    except (OSError, RuntimeError):
        return None


def publish(
    root: Path,
    active: Registered,
    index: Any,  # noqa: ANN401
    total: int,
    high_water: int,
    plan: Plan,
) -> Snapshot:
    """Write an index and make it the one that counts; older files go.

    Raises DiskFull or LibraryReadOnly; then the older one still counts.
    """
    folder = folder_of(root, active)
    file, sha256, sums = _write(folder, index)
    faults.reach("snapshot-written")
    proved = (file, sha256, active.fingerprint, active.width)
    snapshot = Snapshot(*proved, index.ntotal, total, high_water, plan, sums)
    pointer = json.dumps(asdict(snapshot)).encode()
    write_atomically(folder / POINTER, pointer, durable=True)
    faults.reach("snapshot-published")
    _tidy(folder, file)
    return snapshot


def withdraw(root: Path, active: Registered) -> None:
    """Let no snapshot count; where the disk refuses, everybody finds out alone."""
    with suppress(OSError):
        (folder_of(root, active) / POINTER).unlink(missing_ok=True)


def _write(folder: Path, index: Any) -> tuple[str, str, tuple[int, ...]]:  # noqa: ANN401
    import faiss

    with disk_refusals(folder):
        descriptor, name = tempfile.mkstemp(prefix=".", suffix=".partial", dir=folder)
        os.close(descriptor)
        temporary = Path(name)
        try:
            try:
                faiss.write_index(index, name)
            except RuntimeError as error:  # how FAISS tells of a full disk
                raise OSError(_full_number(), str(error)) from error
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            sha256, sums = sha256_of(temporary, fresh=True), blocks.sums_of(temporary)
            os.replace(temporary, folder / f"snap-{sha256[:16]}.faiss")
        finally:
            temporary.unlink(missing_ok=True)
    return f"snap-{sha256[:16]}.faiss", sha256, sums


def _full_number() -> int:
    import errno

    return errno.ENOSPC


def _tidy(folder: Path, keep: str) -> None:
    """Remove what no pointer names; on Windows a mapped file refuses, and goes the next time."""
    for path in [*folder.glob("snap-*.faiss"), *folder.glob(".*.partial")]:
        if path.name != keep:
            try:
                path.unlink(missing_ok=True)
            except PermissionError:
                continue
