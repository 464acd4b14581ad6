"""Trash: what was deleted, until it is emptied.

Deleting writes a tombstone and nothing else: the view no longer shows the picture, yet all that
people said of it stays, so it can come back whole. The transaction is the truth; files follow it
(`settle`), and a crash in between is made good by whoever opens the library next.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from index import catalogue, faults, hiding, journal, meanings, placing, vectors
from index.addition import recorded
from index.atomic import disk_refusals
from index.errors import AmbiguousId, DiskFull, NoSuchPicture
from index.hiding import HIDDEN
from index.places import Place, grave, places
from index.refresh import refresh
from index.thumbnails import thumbnail_path

if TYPE_CHECKING:
    import duckdb

    from index.store import Store

_ID = re.compile(r"[a-z2-7]{52}")
# The tables whose rows belong to a picture, by their column `picture`.
OF_PICTURE = (
    "files makings looks colours tags curation set_members tags_waiting words refused unlearnt"
).split()


@dataclass(frozen=True)
class Trashed:
    """A deleted picture that can still be restored; deleted: with its zone."""

    id: str
    deleted: datetime
    prompt: str | None


def delete(store: Store, prefixes: Iterable[str]) -> int:
    """Move pictures to the trash; files that stand outside the library stay where they are.

    Returns how many. Raises NoSuchPicture or AmbiguousId, and then deletes none.
    """
    with store.writing() as connection:
        numbers = sorted(catalogue.resolve_all(connection, prefixes))
        bury(connection, numbers)
    settle(store)
    return len(numbers)


def bury(connection: duckdb.DuckDBPyConnection, numbers: Sequence[int]) -> None:
    """Write tombstones, inside the caller's transaction; `settle` brings the files to the trash."""
    connection.execute(
        "INSERT INTO deleted SELECT seq, id, ?, false FROM pictures WHERE seq IN ?",
        [datetime.now(UTC).replace(tzinfo=None), list(numbers)],
    )
    unsettle(connection, numbers)


def listed(store: Store) -> list[Trashed]:
    """What can be restored, the newest deletion first; what hidden sets hold is not told."""
    with store.reading() as connection:
        rows = connection.execute(
            "SELECT d.id, d.deleted, m.prompt FROM deleted d "  # noqa: S608 - a constant
            "LEFT JOIN makings m ON m.picture = d.seq AND m.newest "
            f"WHERE NOT emptied AND d.seq NOT IN {HIDDEN} ORDER BY d.deleted DESC, d.seq DESC"
        ).fetchall()
    return [Trashed(id, moment.replace(tzinfo=UTC), prompt) for id, moment, prompt in rows]


def restore(store: Store, prefixes: Iterable[str]) -> int:
    """Bring pictures back, files and all that was said of them; returns how many.

    Raises NoSuchPicture or AmbiguousId, and then restores none.
    """
    with store.writing() as connection:
        numbers = {_buried(connection, prefix) for prefix in prefixes}
        restore_rows(connection, sorted(numbers))
    settle(store)
    return len(numbers)


def restore_rows(connection: duckdb.DuckDBPyConnection, numbers: Sequence[int]) -> None:
    """Take tombstones away, inside the caller's transaction; `settle` brings the files back."""
    if numbers:
        connection.execute("DELETE FROM deleted WHERE seq IN ? AND NOT emptied", [list(numbers)])
        unsettle(connection, numbers)


def empty(store: Store) -> int:
    """Remove what is in the trash for good; returns how many pictures.

    Nothing of them is left in the library's folder. Their numbers stay marked as used, so that no
    later picture is mistaken for one of these.
    """
    with store.writing() as connection:
        rows = connection.execute("SELECT seq FROM deleted WHERE NOT emptied").fetchall()
        numbers = [number for (number,) in rows]
        unsettle(connection, numbers)
        for table in (*OF_PICTURE, *vectors.tables(connection)):
            connection.execute(f"DELETE FROM {table} WHERE picture IN ?", [numbers])  # noqa: S608
        connection.execute("DELETE FROM pictures WHERE seq IN ?", [numbers])
        connection.execute("UPDATE deleted SET emptied = true")
        meanings.forget(connection)
    settle(store)
    _forget(store)
    refresh(store)
    return len(numbers)


def _forget(store: Store) -> None:
    """Let neither the journal nor the catalogue's file hold what was said of what is gone."""
    with store.writing() as connection:
        journal.forget(connection, store.root)
    with suppress(DiskFull):  # no room for a copy: the bytes stay until others take their place
        store.compact()


def settle(store: Store) -> None:
    """Bring files to where the committed rows say they are: in the trash, out of it, or gone.

    Thumbnails too: what is hidden has none.
    """
    hiding.reveal(store)
    with store.writing() as connection, disk_refusals(store.root):
        rows = connection.execute(
            "SELECT DISTINCT u.seq, u.id, coalesce(d.emptied, false), "  # noqa: S608 - a constant
            f"u.seq IN {HIDDEN} FROM unsettled u LEFT JOIN deleted d ON d.seq = u.seq"
        ).fetchall()
        for place in places(connection, store.root, [number for number, *_ in rows]):
            _carry(connection, store.root, place)
        for _, id, emptied, hidden in rows:
            if not _ID.fullmatch(id):  # not written by this library: it may lead anywhere
                continue
            if emptied:
                faults.reach("emptying")
                shutil.rmtree(store.root / "trash" / id, ignore_errors=True)
            if emptied or hidden:
                faults.reach("hiding")
                thumbnail_path(id, store.root).unlink(missing_ok=True)
        connection.execute("DELETE FROM unsettled")


def is_settled(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether every file followed its row."""
    return not connection.execute("SELECT 1 FROM unsettled LIMIT 1").fetchall()


def unsettle(connection: duckdb.DuckDBPyConnection, numbers: Sequence[int]) -> None:
    """Note that files or thumbnails have to follow their rows, inside the caller's transaction."""
    connection.execute(
        "INSERT INTO unsettled SELECT seq, id FROM pictures WHERE seq IN ?", [list(numbers)]
    )


def _buried(connection: duckdb.DuckDBPyConnection, prefix: str) -> int:
    """The number of the one picture in the trash whose id begins so."""
    rows = connection.execute(
        "SELECT seq, id FROM deleted WHERE NOT emptied AND starts_with(id, ?) ORDER BY id LIMIT 2",
        [prefix.lower()],
    ).fetchall()
    if not rows or len(prefix) < catalogue.SHORTEST_PREFIX:
        raise NoSuchPicture(
            f"The trash holds no picture whose id begins with {prefix!r}.",
            f"Give at least {catalogue.SHORTEST_PREFIX} characters of its id.",
        )
    if len(rows) > 1:
        raise AmbiguousId(
            f"Several ids in the trash begin with {prefix!r}.", "Give more characters."
        )
    return int(rows[0][0])


def _carry(connection: duckdb.DuckDBPyConnection, root: Path, place: Place) -> None:
    """Move a file between its home and its grave; where it is there already, nothing happens.

    At home it goes over no other file, but gets a like name, which is then on record.
    """
    if not place.inside:
        return
    other = place.home if place.deleted else grave(root, place.id, place.home)
    if not other.exists():
        return
    faults.reach("carrying")
    # A grave is its picture's alone; and a crash may have left both names of one file.
    if place.path.exists() and (place.deleted or place.path.samefile(other)):
        place.path.unlink()
    placed = placing.move(other, place.path)
    if placed != place.path:
        connection.execute(
            "UPDATE files SET path = ?, raw_path = ? WHERE picture = ? AND path = ?",
            [*recorded(placed, root)[:2], place.number, place.recorded],
        )
    _prune(other.parent, root)


def _prune(folder: Path, root: Path) -> None:
    """Remove folders that a move left empty, but none of the library's own."""
    while folder.parent not in (root, root.parent) and not any(folder.iterdir()):
        with suppress(OSError):  # somebody has just put a file there
            folder.rmdir()
        folder = folder.parent
