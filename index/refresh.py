"""Refresh: bring the snapshot up to the rows when searching around it would take too long."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from index import registered, snapshot, vectors
from index.errors import DiskFull, LibraryBusy, LibraryReadOnly
from index.placing import make_folders

if TYPE_CHECKING:
    import duckdb

    from index.registered import Registered
    from index.snapshot import Snapshot
    from index.store import Store

# Rows beyond the snapshot that a search scans: so many take about 20 ms, and a twentieth of a
# large library keeps the cost of rewriting it in proportion.
YOUNG_ROWS = 2_000
YOUNG_SHARE = 0.05
_STEP = 16_384


def refresh(store: Store, *, force: bool = False) -> bool:
    """Write a new snapshot if enough rows are missing from it; returns whether it did.

    The rows are read a step at a time, so that no writer waits longer than for one query. One
    process at a time does this. A disk that is full or read-only only means searching the rows.
    """
    try:
        with store.reading() as connection:
            active = registered.active(connection)
            if not (force or is_due(connection, store, active)):
                return False
        folder = snapshot.folder_of(store.root, active)
        make_folders(folder)
        with FileLock(folder / "building", timeout=0, mode=0o600):
            _build(store, active)
    except (Timeout, DiskFull, LibraryReadOnly, LibraryBusy):
        return False  # a cache nobody could write, or somebody else is writing, is no loss
    return True


def is_due(connection: duckdb.DuckDBPyConnection, store: Store, active: Registered) -> bool:
    """Whether the snapshot is unsound, or too many rows are missing from it."""
    sound = vectors.sound(connection, store.root, active)
    rows, _ = vectors.standing(connection, active.fingerprint)
    if sound is None:
        broken = (snapshot.folder_of(store.root, active) / snapshot.POINTER).exists()
        return broken or rows > YOUNG_ROWS
    return rows - sound.count > allowance(sound.count)


def allowance(count: int) -> int:
    """How many rows may be missing from a snapshot of so many."""
    return max(YOUNG_ROWS, int(YOUNG_SHARE * count))


def _build(store: Store, active: Registered) -> None:
    with store.reading() as connection:
        sound = vectors.sound(connection, store.root, active)
    index, above, total = _base(store, active, sound)
    while True:
        with store.reading() as connection:
            numbers, rows = vectors.step(connection, active.fingerprint, above, _STEP)
        if not len(numbers):
            break
        index.add_with_ids(rows, numbers)
        above, total = int(numbers.max()), total + int(numbers.sum())
    snapshot.publish(store.root, active, index, total, above)


def _base(store: Store, active: Registered, sound: Snapshot | None) -> tuple[Any, int, int]:
    """What to build upon: an index to add to, its largest number and the sum of its numbers."""
    if sound is not None:
        index = snapshot.opened(snapshot.folder_of(store.root, active), sound, mapped=False)
        if index is not None:
            return index, sound.high_water, sound.total
    return snapshot.empty(active.width), 0, 0
