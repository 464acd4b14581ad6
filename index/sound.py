"""Sound: whether a snapshot holds the very rows that the catalogue has.

This file knows nothing of what is searched for.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from index import mapped, snapshot
from index.store import CATALOGUE
from index.vectors import parted

if TYPE_CHECKING:
    import duckdb
    import numpy as np
    from numpy.typing import NDArray

    from index.mapped import Mapped
    from index.registered import Registered
    from index.snapshot import Snapshot

    Numbers = NDArray[np.int64]


# A file changed twice within one tick of its file system's clock keeps its time.
_SETTLED_NS = 2_000_000_000
State = tuple[object, ...]


@dataclass(frozen=True)
class Sound:
    """A snapshot that holds the very rows up to its high water, and some that are gone since.

    gone (n,): the numbers of pictures whose trash was emptied after it was written
    young: how many rows there are beyond its high water
    """

    snapshot: Snapshot
    gone: Numbers
    young: int

    @property
    def count(self) -> int:
        """How many of its rows there still are."""
        return self.snapshot.count - len(self.gone)


_last: tuple[State, Sound] | None = None


def current(connection: duckdb.DuckDBPyConnection, root: Path, active: Registered) -> Sound | None:
    """The current snapshot, if it can be used.

    What was found is remembered while neither the root's catalogue nor the snapshot changes.
    """
    global _last
    state = _state(root, active)
    if state is not None and _last is not None and _last[0] == state:
        return _last[1]
    found = _proved(connection, root, active)
    if state is not None and found is not None:
        _last = state, found
    return found


def _state(root: Path, active: Registered) -> State | None:
    """What tells whether anything changed; None where something is too young to tell."""
    folder = str(snapshot.folder_of(root, active))
    held = _last[1].snapshot.file if _last is not None else snapshot.POINTER
    catalogue = os.path.join(root, CATALOGUE)
    told: list[object] = [active]
    for path in (
        catalogue,
        f"{catalogue}.wal",
        os.path.join(folder, snapshot.POINTER),
        os.path.join(folder, held),
    ):
        try:
            stat = os.stat(path)
        except OSError:
            told.append(path)
            continue
        if abs(time.time_ns() - stat.st_mtime_ns) < _SETTLED_NS:
            return None
        told.append((path, stat.st_ino, stat.st_size, stat.st_mtime_ns))
    return tuple(told)


def _proved(connection: duckdb.DuckDBPyConnection, root: Path, active: Registered) -> Sound | None:
    import numpy as np

    stands = snapshot.current(root, active)
    if stands is None:
        return None
    *held, young = parted(connection, active.fingerprint, stands.high_water)
    gone = np.empty(0, np.int64)
    if held != [stands.count, stands.total]:
        gone = _gone(connection, root, active, stands)
    told = [stands.count - len(gone), stands.total - int(gone.sum())]
    return Sound(stands, gone, young) if held == told else None


def _gone(
    connection: duckdb.DuckDBPyConnection, root: Path, active: Registered, stands: Snapshot
) -> Numbers:
    """The numbers in a snapshot, (n,), whose pictures were emptied from the trash."""
    import numpy as np

    found = connection.execute(
        "SELECT seq FROM deleted WHERE emptied AND seq <= ?", [stands.high_water]
    ).fetchnumpy()
    emptied = np.asarray(found["seq"], np.int64)
    try:
        index = opened(root, active, stands) if len(emptied) else None
    except mapped.Rotten:
        index = None
    if index is None:
        return np.empty(0, np.int64)
    return emptied[index.places(stands.high_water)[emptied] >= 0]


def opened(root: Path, active: Registered, stands: Snapshot) -> Mapped | None:
    """The index of a snapshot, mapped; None when it cannot be read. Raises mapped.Rotten."""
    return mapped.opened(snapshot.folder_of(root, active) / stands.file, stands.sums)
