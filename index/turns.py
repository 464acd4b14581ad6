"""Turns: who may open the catalogue now, in the order in which they came.

DuckDB lets in one writer or many readers, and refuses everybody else at once. So every operation,
whichever thread or process it runs in, first draws a numbered ticket, a file that it keeps locked,
and goes when nobody in front of it is in its way: a reader waits for the writers ahead, a writer
for everyone ahead. Nobody overtakes, so nobody starves. The lock of a killed process falls with
it, and whoever waits behind such a ticket sweeps it away.

This file knows nothing of DuckDB.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

from index.errors import LibraryBusy

Kind = Literal["r", "w"]

# How often the next in the queue looks again, a fraction of what one operation takes (about 20 ms);
# whoever is further behind looks as much more seldom.
_POLL_S = 0.002
# A ticket's lock, thirty times as dear to look at, falls alone only with its process.
_LOOKS_A_LOCK = 16
_mine = threading.local()


class Turns:
    """The queue of one library; `folder` holds the tickets and is made when missing.

    wait_s: seconds of patience for one turn
    """

    def __init__(self, folder: Path, wait_s: float) -> None:
        self._folder = folder
        self._wait_s = wait_s

    @contextmanager
    def take(self, kind: Kind) -> Iterator[None]:
        """Wait for a turn and hold it.

        Raises LibraryBusy when the wait was in vain, OSError where no ticket can be written, and
        RuntimeError when this thread holds a turn already: it would wait for itself.
        """
        with _once_per_thread(self._folder):
            deadline = time.monotonic() + self._wait_s
            ticket, ahead = self._draw(kind, deadline)
            try:
                for place, other in zip(range(len(ahead), 0, -1), ahead, strict=True):
                    self._wait_for(other, place, deadline)
                yield
            finally:
                _drop(ticket)

    def _draw(self, kind: Kind, deadline: float) -> tuple[FileLock, list[Path]]:
        """A ticket behind all others, and those of the others that it has to wait for."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        door = _lock(self._folder / "door")
        self._acquire(door, deadline)
        try:
            others = sorted(self._folder.glob("*-[rw]"), key=_number)
            number = _number(others[-1]) + 1 if others else 1
            ticket = _lock(self._folder / f"{number}-{kind}")
            ticket.acquire(blocking=False)
        finally:
            door.release()
        return ticket, [o for o in others if kind == "w" or o.name.endswith("w")]

    def _wait_for(self, other: Path, place: int, deadline: float) -> None:
        """Until that ticket, with `place` of them to wait for from it on, is gone."""
        lock = _lock(other)
        for look in count():
            if not other.exists():
                return
            if look % _LOOKS_A_LOCK == 0 and _is_free(lock):
                _drop(lock)
                return
            if time.monotonic() >= deadline:
                raise self._busy()
            time.sleep(_POLL_S * place)

    def _acquire(self, lock: FileLock, deadline: float) -> None:
        try:
            lock.acquire(timeout=max(0.0, deadline - time.monotonic()), poll_interval=_POLL_S)
        except Timeout as error:
            raise self._busy() from error

    def _busy(self) -> LibraryBusy:
        return LibraryBusy(
            f"The library stayed locked by others for {self._wait_s:g} seconds.",
            "Wait until they are done and try again; nothing was changed.",
        )


def _is_free(lock: FileLock) -> bool:
    """Take a ticket whose holder was killed; one that is held is left alone."""
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return False
    return True


def _lock(path: Path) -> FileLock:
    return FileLock(path, mode=0o600, fallback_to_soft=False)


def _drop(ticket: FileLock) -> None:
    """Unlink before the lock falls, so that nobody ever sees a ticket of the living unlocked."""
    try:
        Path(ticket.lock_file).unlink(missing_ok=True)
    except PermissionError:  # Windows: an open file cannot be unlinked; the next waiter sweeps it
        pass
    ticket.release()


def _number(ticket: Path) -> int:
    return int(ticket.name.partition("-")[0])


@contextmanager
def _once_per_thread(folder: Path) -> Iterator[None]:
    held: set[Path] = _mine.__dict__.setdefault("held", set())
    if folder in held:
        raise RuntimeError("this thread holds a turn of this library already")
    held.add(folder)
    try:
        yield
    finally:
        held.discard(folder)
