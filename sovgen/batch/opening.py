"""Opening: the SQLite file of a queue, to be changed or only to be read.

Whoever only looks makes no file and changes none, so that looking works where nothing can be
written. Knows the file and its versions; what its rows mean, `sovgen.batch.queue` knows.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from index.errors import DiskFull
from sovgen.errors import QueueDamaged

_SCHEMA = 2
_WAIT_S = 60.0
_FIRST = """
CREATE TABLE jobs (
    id TEXT PRIMARY KEY, recipe TEXT NOT NULL, shape TEXT NOT NULL, plan TEXT NOT NULL,
    priority INTEGER NOT NULL, position INTEGER NOT NULL, state TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0, reason TEXT, picture TEXT) WITHOUT ROWID;
CREATE INDEX next ON jobs (state, priority DESC, position);
CREATE INDEX alike ON jobs (state, priority DESC, shape, position);
CREATE TABLE paused (since TEXT NOT NULL);
"""
# What each version of the file adds to the one before.
_STEPS = (_FIRST, "ALTER TABLE jobs ADD COLUMN seconds REAL")
# Where SQLite found no room: for the file, and for the memory that its readers share.
_FULL = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE)


def opened(path: Path) -> sqlite3.Connection:
    """The file, made when missing and brought to this version."""
    with told(path):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        db = sqlite3.connect(path, timeout=_WAIT_S, isolation_level=None)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
    with writing(db, path):
        _bring_up(db, path)
    return db


def opened_to_read(path: Path) -> sqlite3.Connection:
    """The file as it is; one that is missing, or of an older version, is made in memory alone."""
    with told(path):
        if not path.exists():
            db = _in_memory()
        else:
            db = _read_only(path)
            if _schema(db) < _SCHEMA:
                older, db = db, _in_memory()
                older.backup(db)
                older.close()
        db.execute("PRAGMA temp_store = MEMORY")
        _bring_up(db, path)
        return db


def _read_only(path: Path) -> sqlite3.Connection:
    """Raises what SQLite does."""
    db = _connected(path, "mode=ro")
    try:
        _schema(db)
    except sqlite3.OperationalError:
        log = path.with_name(f"{path.name}-wal")
        if log.exists() and log.stat().st_size:
            raise  # without its log the file tells what has long been otherwise
        # SQLite shares memory among its readers by a file, for which there is no room here
        db = _connected(path, "immutable=1")
    return db


def _connected(path: Path, how: str) -> sqlite3.Connection:
    place = f"file:{quote(os.fsencode(path.absolute()))}?{how}"
    return sqlite3.connect(place, timeout=_WAIT_S, isolation_level=None, uri=True)


def _in_memory() -> sqlite3.Connection:
    return sqlite3.connect(":memory:", isolation_level=None)


def _schema(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def _bring_up(db: sqlite3.Connection, path: Path) -> None:
    """Raises QueueDamaged for a file that is from a newer version."""
    schema = _schema(db)
    if schema > _SCHEMA:
        raise QueueDamaged(f"{path} is from a newer version.", "Update sovgen.")
    for step in _STEPS[schema:]:
        for statement in step.split(";"):
            db.execute(statement)
    if schema < _SCHEMA:
        db.execute(f"PRAGMA user_version = {_SCHEMA}")


@contextmanager
def writing(db: sqlite3.Connection, path: Path) -> Iterator[sqlite3.Connection]:
    """One transaction: all of it happens, or nothing."""
    with told(path):
        db.execute("BEGIN IMMEDIATE")
        try:
            yield db
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:  # on a full disk SQLite has rolled back by itself
                db.execute("ROLLBACK")
            raise


@contextmanager
def told(path: Path) -> Iterator[None]:
    """What SQLite says, as what a person reads: DiskFull or QueueDamaged."""
    try:
        yield
    except (sqlite3.OperationalError, OSError) as error:
        if _is_full(error):
            raise DiskFull(
                f"No room is left on the disk of {path}.",
                "What was kept stays, and no job is lost: free some and run again.",
            ) from error
        raise QueueDamaged(
            f"The queue {path} cannot be used: {error}.", "Check its permissions and the disk."
        ) from error
    except sqlite3.DatabaseError as error:
        raise QueueDamaged(
            f"The queue {path} is damaged: {error}.",
            "Move it away and run the plan again: what the library holds is not drawn again.",
        ) from error


def _is_full(error: sqlite3.OperationalError | OSError) -> bool:
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return getattr(error, "sqlite_errorcode", None) in _FULL
