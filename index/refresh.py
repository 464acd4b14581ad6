"""Refresh: bring the snapshot up to the rows when searching around it would take too long."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from index import layout, probes, registered, scan, snapshot, sound, vectors
from index.errors import DiskFull, LibraryBusy, LibraryReadOnly
from index.placing import make_folders
from index.snapshot import Plan

if TYPE_CHECKING:
    import duckdb
    import numpy as np
    from numpy.typing import NDArray

    from index.registered import Registered
    from index.sound import Sound
    from index.store import Store

# Rows beyond the snapshot that a search scans: so many take about 5 ms, and a fiftieth of a large
# library keeps the cost of rewriting it in proportion.
YOUNG_ROWS = 2_000
YOUNG_SHARE = 0.02
# How long scanning every row may take before a search without filters takes a shortcut.
PATIENCE_MS = 20.0
# Clusters are found anew when there are so many times the rows that they were found among.
_OUTGROWN = 2
_STEP = 16_384
_TRIED = 2_000
# Held by whoever writes a snapshot.
BUILDING = "building"


def refresh(
    store: Store, *, force: bool = False, wait: bool = False, patience_ms: float = PATIENCE_MS
) -> bool:
    """Write a new snapshot if enough rows are missing from it; returns whether it did.

    wait: for another process that writes one, and look again then
    patience_ms: how long an exact scan may take here before clusters are made for a shortcut

    The rows are read a step at a time, so that no writer waits longer than for one query. One
    process at a time does this. A disk that is full or read-only only means searching the rows.
    """
    try:
        active = _due(store, force=force)
        if active is None:
            return False
        folder = snapshot.folder_of(store.root, active)
        make_folders(folder)
        with FileLock(folder / BUILDING, timeout=-1 if wait else 0, mode=0o600):
            if wait and _due(store, force=force) is None:
                return False
            _build(store, active, patience_ms)
    except (Timeout, DiskFull, LibraryReadOnly, LibraryBusy):
        return False  # a cache nobody could write, or somebody else is writing, is no loss
    return True


def _due(store: Store, *, force: bool) -> Registered | None:
    """The encoder whose snapshot has to be written, if any has."""
    with store.reading() as connection:
        active = registered.active(connection)
        return active if force or is_due(connection, store, active) else None


def is_building(root: Path) -> bool:
    """Whether somebody is writing a snapshot of any encoder of this library."""
    for lock in (root / "vectors").glob(f"*/{BUILDING}"):
        try:
            with FileLock(lock, timeout=0, mode=0o600):
                pass
        except (Timeout, OSError):
            return True
    return False


def is_due(connection: duckdb.DuckDBPyConnection, store: Store, active: Registered) -> bool:
    """Whether the snapshot is unsound, holds what was emptied, or lacks too many rows."""
    held = sound.current(connection, store.root, active)
    if held is None:
        broken = (snapshot.folder_of(store.root, active) / snapshot.POINTER).exists()
        return broken or vectors.count(connection, active.fingerprint) > YOUNG_ROWS
    return len(held.gone) > 0 or held.young > allowance(held.count)


def allowance(count: int) -> int:
    """How many rows may be missing from a snapshot of so many."""
    return max(YOUNG_ROWS, int(YOUNG_SHARE * count))


def _build(store: Store, active: Registered, patience_ms: float) -> None:
    with store.reading() as connection:
        held = sound.current(connection, store.root, active)
        rows = vectors.count(connection, active.fingerprint)
    exact_ms = scan.cost_ms(rows, active.width)
    is_paged = exact_ms <= patience_ms
    base = _base(store, active, held, rows, is_paged) or _Base(
        layout.paged(active.width) if is_paged else _clustered(store, active, rows),
        trained=0 if is_paged else rows,
    )
    above, total = base.high_water, base.total
    while True:
        with store.reading() as connection:
            numbers, block = vectors.step(connection, active.fingerprint, above, _STEP)
        if not len(numbers):
            break
        layout.add(base.index, numbers, block, paged=is_paged)
        above, total = int(numbers.max()), total + int(numbers.sum())
    plan = Plan(exact_ms, base.index.nlist, base.trained)
    if not is_paged:
        probes, recall = _tried(store, active, base, held)
        plan = replace(plan, probes=probes, recall=recall)
    snapshot.publish(store.root, active, base.index, total, above, plan)


@dataclass(frozen=True)
class _Base:
    """An index to add to, the largest of its numbers, and their sum; see Plan for `trained`."""

    index: Any
    trained: int
    high_water: int = 0
    total: int = 0


def _base(
    store: Store, active: Registered, held: Sound | None, rows: int, is_paged: bool
) -> _Base | None:
    """What stands, if it lies as it should."""
    if held is None or is_paged != (held.snapshot.plan.trained == 0):
        return None
    stands, trained = held.snapshot, held.snapshot.plan.trained
    if not is_paged and rows > _OUTGROWN * trained:
        return None
    index = snapshot.loaded(snapshot.folder_of(store.root, active), stands)
    if index is None:
        return None
    layout.remove(index, held.gone)
    return _Base(index, trained, stands.high_water, stands.total - int(held.gone.sum()))


def _clustered(store: Store, active: Registered, rows: int) -> Any:  # noqa: ANN401
    lists = layout.lists_for(rows)
    return layout.clustered(_sample(store, active, layout.SAMPLE * lists), lists)


def _tried(store: Store, active: Registered, base: _Base, held: Sound | None) -> tuple[int, float]:
    """Probes and recall; those of the last time, while the clusters are the same."""
    if held is not None and base.high_water:
        return held.snapshot.plan.probes, held.snapshot.plan.recall
    return probes.found(base.index, _sample(store, active, _TRIED))


def _sample(store: Store, active: Registered, size: int) -> NDArray[np.float32]:
    """About so many rows (n, width), from all over the table."""
    with store.reading() as connection:
        rows = vectors.count(connection, active.fingerprint)
        stride = max(1, rows // size)
        return vectors.read(connection, active.fingerprint, "picture % ? = 0", [stride])[1]
