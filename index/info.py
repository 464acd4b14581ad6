"""Info: what a library holds, in a few numbers."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from index import migrations, registered, sound, vectors, view
from index.hiding import HIDDEN

if TYPE_CHECKING:
    import duckdb

    from index.registered import Registered
    from index.store import Store


@dataclass(frozen=True)
class Info:
    """A library at a glance.

    pictures: that can be seen; trashed: that can be restored; hidden ones are not told of
    vectors: of the active encoder, also of pictures in the trash
    encoder: its name; fingerprint and source: which one it is and where it is loaded from
    index: how search goes through the vectors, and why
    bytes: of the whole folder; schema: steps of `index.migrations`
    """

    root: Path
    pictures: int
    trashed: int
    encoder: str
    fingerprint: str
    source: str
    width: int
    vectors: int
    index: str
    bytes: int
    schema: int


def describe(store: Store) -> Info:
    """Count everything; reads the catalogue once and the folder once."""
    weight = _weight(store.root)  # which may take long: nobody's turn waits for it
    with store.reading() as connection:
        active = registered.active(connection)
        return Info(
            root=store.root,
            pictures=_count(connection, f"({view.select(columns=['hidden'])}) WHERE NOT hidden"),
            trashed=_count(connection, f"deleted WHERE NOT emptied AND seq NOT IN {HIDDEN}"),
            encoder=active.name,
            fingerprint=active.fingerprint,
            source=active.source,
            width=active.width,
            vectors=_count(
                connection, f"{vectors.table(active.fingerprint)} WHERE picture NOT IN {HIDDEN}"
            ),
            index=_way(connection, store.root, active),
            bytes=weight,
            schema=migrations.schema(connection),
        )


def _way(connection: duckdb.DuckDBPyConnection, root: Path, active: Registered) -> str:
    """How search goes through the vectors, and why."""
    held = sound.current(connection, root, active)
    seen = f"{vectors.table(active.fingerprint)} WHERE picture NOT IN {HIDDEN}"
    if held is None:
        rows = _count(connection, seen)
        return f"exact: all {rows:,} rows are scanned; too few for a snapshot, or none is sound"
    plan, below = held.snapshot.plan, f"picture <= {held.snapshot.high_water}"
    old, young = (_count(connection, f"{seen} AND {part}") for part in (below, f"NOT {below}"))
    told = (
        f"{old:,} vectors in a half-precision FAISS snapshot, {young:,} newer rows "
        "scanned, the best scored again in full precision"
    )
    why = f"scanning all takes {_rounded(plan.exact_ms)} ms here"
    if plan.trained == 0:
        return f"exact: {told}; {why}"
    if plan.is_exact:
        return f"exact: {told}; {why}, but no fewer clusters were found to be enough"
    return (
        f"approximate: {told}; {plan.probes} of {plan.lists} clusters are searched, with which "
        f"recall@10 was {plan.recall:.3f} when tried, since {why}; with filters, or --exact, all"
    )


def _rounded(ms: float) -> str:
    """Two digits that count, or all before the point."""
    return f"{ms:.2g}" if ms < 10 else f"{ms:.0f}"


def _count(connection: duckdb.DuckDBPyConnection, what: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM {what}").fetchone()  # noqa: S608 - constants
    return int(row[0]) if row else 0


def _weight(folder: Path) -> int:
    """Bytes of the files below a folder; what vanishes meanwhile counts for nothing."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(parent, name)).st_size
            except FileNotFoundError:
                continue
    return total
