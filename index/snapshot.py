"""Snapshot: the vectors of one encoder as a FAISS index on disk, a cache that can always go.

A snapshot is a file named by its contents and, written last, a small pointer `CURRENT` that says
which file counts and what it must hold. Nothing is ever changed in place: whoever has the old file
mapped keeps it. A file that is missing, cut short or has one bit flipped is no snapshot; nor is
one whose rows are not the catalogue's. This file knows nothing of queries.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from index import faults
from index.atomic import disk_refusals, write_atomically
from index.hashes import sha256_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from index.registered import Registered

POINTER = "CURRENT"


@dataclass(frozen=True)
class Snapshot:
    """What the pointer says.

    file: its name; sha256: of its bytes; fingerprint, width: of the encoder
    count, total: how many pictures' numbers it holds, and their sum; high_water: the largest
    """

    file: str
    sha256: str
    fingerprint: str
    width: int
    count: int
    total: int
    high_water: int


def folder_of(root: Path, active: Registered) -> Path:
    """Where the snapshots of an encoder lie: `vectors/<fingerprint[:16]>`."""
    return root / "vectors" / active.fingerprint[:16]


def current(root: Path, active: Registered, *, fresh: bool = False) -> Snapshot | None:
    """The snapshot that counts, its bytes proved by checksum; None when there is none.

    The checksum is computed once per file and remembered by size and time (`index.hashes`).
    """
    folder = folder_of(root, active)
    try:
        values = json.loads((folder / POINTER).read_bytes())
        snapshot = Snapshot(**{f.name: values[f.name] for f in fields(Snapshot)})
        sound = sha256_of(folder / snapshot.file, fresh=fresh) == snapshot.sha256
    except (OSError, ValueError, TypeError, KeyError):
        return None
    same = (snapshot.fingerprint, snapshot.width) == (active.fingerprint, active.width)
    return snapshot if sound and same else None


def opened(folder: Path, snapshot: Snapshot, *, mapped: bool = True) -> Any | None:  # noqa: ANN401
    """The FAISS index, or None when FAISS cannot read it.

    mapped: read from disk as needed, in no time, and never to be changed: FAISS would abort
    """
    import faiss

    faiss.omp_set_num_threads(1)
    path = str(folder / snapshot.file)
    try:
        return faiss.read_index(path, faiss.IO_FLAG_MMAP_IFC if mapped else 0)
    except RuntimeError:
        return None


def empty(width: int) -> Any:  # noqa: ANN401 - faiss has no types
    """An index without vectors: exact inner products over half-precision rows, by number."""
    import faiss

    faiss.omp_set_num_threads(1)
    half = faiss.ScalarQuantizer.QT_fp16
    return faiss.IndexIDMap2(faiss.IndexScalarQuantizer(width, half, faiss.METRIC_INNER_PRODUCT))


def candidates(
    index: Any,  # noqa: ANN401
    aim: NDArray[np.float32],
    wanted: int,
    passing: NDArray[np.int64] | None,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Rough scores, falling, and numbers of the best by half precision; fewer where fewer are.

    passing: the numbers that may be given, any order; None for all
    """
    import faiss
    import numpy as np

    if wanted == 0:
        return np.empty(0, np.float32), np.empty(0, np.int64)
    parameters: Any = faiss.SearchParameters()
    if passing is not None:
        bits = np.zeros(int(passing.max()) + 1, bool)
        bits[passing] = True
        bitmap: Any = faiss.IDSelectorBitmap  # its stub knows only the C++ side
        selector = bitmap(np.packbits(bits, bitorder="little"))
        parameters.sel = selector
    scores, numbers = index.search(aim[None], wanted, params=parameters)
    there = numbers[0] >= 0
    return scores[0][there], numbers[0][there]


def publish(root: Path, active: Registered, index: Any, total: int, high_water: int) -> Snapshot:  # noqa: ANN401
    """Write an index and make it the one that counts; older files go.

    Raises DiskFull or LibraryReadOnly; then the older one still counts.
    """
    folder = folder_of(root, active)
    file, sha256 = _write(folder, index)
    faults.reach("snapshot-written")
    snapshot = Snapshot(
        file, sha256, active.fingerprint, active.width, index.ntotal, total, high_water
    )
    pointer = json.dumps(asdict(snapshot), indent=1).encode()
    write_atomically(folder / POINTER, pointer, durable=True)
    faults.reach("snapshot-published")
    _tidy(folder, file)
    return snapshot


def _write(folder: Path, index: Any) -> tuple[str, str]:  # noqa: ANN401
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
            sha256 = sha256_of(temporary, fresh=True)
            os.replace(temporary, folder / f"snap-{sha256[:16]}.faiss")
        finally:
            temporary.unlink(missing_ok=True)
    return f"snap-{sha256[:16]}.faiss", sha256


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
