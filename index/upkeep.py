"""Upkeep: what searches are owed, done by a process of its own, so that no answer waits for it.

A snapshot that lacks too many rows, and words whose meaning nobody has looked up yet. Whoever
notices starts the process and goes on; it works at the lowest priority, outlives its parent, and
may be killed at any instant, since both are derived. This file does not decide what is due.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from index import meanings, refresh, registered
from index.errors import LibraryError

if TYPE_CHECKING:
    import subprocess

    import duckdb

    from index.encoder import Encoder
    from index.registered import Registered
    from index.store import Store

# Seconds before a process starts another one for the same library: what could not be done, as on a
# full disk, is not tried at every question.
PAUSE_S = 60.0
# The parent's path to this package, not the folder it happens to run in.
_CHILD = "import sys; sys.path.append(sys.argv[1]); from index import upkeep; upkeep.main()"

_begun: dict[Path, tuple[subprocess.Popen[bytes], float]] = {}
_beginning = threading.Lock()


def is_due(connection: duckdb.DuckDBPyConnection, store: Store, active: Registered) -> bool:
    """Whether there is anything to do that a process of its own can do."""
    has_words = active.is_there and meanings.is_due(connection)
    return has_words or refresh.is_due(connection, store, active)


def look(store: Store) -> None:
    """Start the process if anything is due."""
    with store.reading() as connection:
        due = is_due(connection, store, registered.active(connection))
    if due:
        begin(store)


def begin(store: Store) -> bool:
    """Start the process and return; False where one is at work, or nothing could be written."""
    if not sys.executable or not os.access(store.root, os.W_OK) or refresh.is_building(store.root):
        return False
    with _beginning:
        working = [root for root, (process, _) in _begun.items() if process.poll() is None]
        _, at = _begun.get(store.root, (None, -PAUSE_S))
        if store.root in working or time.monotonic() - at < PAUSE_S:
            return False
        with suppress(OSError):  # no room for a process: searches go without
            _begun[store.root] = (_started(store.root), time.monotonic())
            return True
    return False


def do(store: Store, encoder: Callable[[], Encoder], *, wait: bool = True) -> bool:
    """Do it all here; returns whether there was anything to do.

    encoder: called only when words have to be embedded; wait: for another process that does it
    """
    with store.reading() as connection:
        has_words = meanings.is_due(connection)
    done = refresh.refresh(store, wait=wait)
    if has_words:
        learn(store, encoder())
    return done or has_words


def learn(store: Store, encoder: Encoder, *, every: bool = False) -> None:
    """Learn what words mean, a few in each transaction, so that nobody waits long for their turn.

    every: all that are written of pictures, not only those that wait
    Raises EncoderMismatch when the library's encoder is another one by now.
    """
    learnt = meanings.MOST_LEARNT
    while learnt == meanings.MOST_LEARNT:
        with store.writing() as connection:
            registered.require(registered.active(connection), encoder)
            learnt = meanings.learn(connection, encoder, every=every)


def main() -> None:
    """The process: for the library that the command line names."""
    from index.library import Library

    if hasattr(os, "nice"):
        os.nice(19)
    with suppress(LibraryError):  # nobody is there to be told, and nothing is lost
        library = Library(Path(sys.argv[2]))
        do(library.store, lambda: library.encoder, wait=False)


def _started(root: Path) -> subprocess.Popen[bytes]:
    import subprocess

    package = Path(__file__).parent.parent
    return subprocess.Popen(  # noqa: S603 - this interpreter, this package
        [sys.executable, "-P", "-c", _CHILD, str(package), str(root)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=root,
        start_new_session=True,  # Ctrl-C and a closed terminal are the parent's business
    )
