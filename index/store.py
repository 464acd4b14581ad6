"""Store: the one place where the catalogue is opened.

Nobody holds the file: every operation takes a turn, opens, does, closes. Writing is one
transaction, committed on a clean exit and rolled back on any error; closing then checkpoints, so a
damaged write-ahead log can never cost more than the operation that was under way. A folder that
refuses tickets (read-only, or a full disk) can still be read.

This file knows nothing of pictures; the schema is `index.migrations`.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from index import catchup, compacting, faults, journal, migrations
from index.errors import BadFolder, LibraryExists, NoLibrary
from index.instance import CONFIG, QUIET, attached
from index.translation import is_locked, translate
from index.turns import Kind, Turns

if TYPE_CHECKING:
    import duckdb

CATALOGUE = "library.duckdb"
# For a copy in memory: it opens the catalogue's file itself, and never spills into another one.
BESIDE = CONFIG | {"enable_external_access": True, "temp_directory": ""}
_Got = TypeVar("_Got")
_RETRY_S = 0.01
_NO_TICKETS = {errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOSPC, errno.EDQUOT}


class Store:
    """The catalogue of one library.

    wait_s: seconds of patience while others are at work
    name: of the catalogue's file; another than `library.duckdb` while one is being rebuilt
    caught_up: of how many things something was put back that only the journal still told
    Raises BadFolder for a file, and for a folder whose name DuckDB cannot take.
    """

    def __init__(self, root: Path, wait_s: float = 60.0, name: str = CATALOGUE) -> None:
        _refuse_place(root)
        self.root = root
        self.path = root / name
        self._wait_s = wait_s
        self._turns = Turns(root / "locks", wait_s)
        self.caught_up = 0

    @contextmanager
    def reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection that can only read, and sees one state of the catalogue throughout.

        Raises NoLibrary, LibraryBusy, LibraryNewer or LibraryDamaged.
        """
        self._require()
        with self._turn("r"), self._connected(read_only=True) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection with one transaction open: all of it happens, or nothing.

        What the catalogue has lost and the journal tells is put back first (see `index.catchup`).
        Raises NoLibrary, LibraryBusy, LibraryNewer, LibraryDamaged, LibraryReadOnly or DiskFull.
        """
        with self._writing() as connection:
            # one that is being rebuilt is made from the journal
            has_journal = self.path.name == CATALOGUE
            caught_up = catchup.catch_up(connection, self.root) if has_journal else 0
            yield connection
        self.caught_up += caught_up

    @contextmanager
    def _writing(self) -> Iterator[duckdb.DuckDBPyConnection]:
        self._require()
        with self._turn("w"), self._ours(), self._connected(read_only=False) as connection:
            yield connection
            journal.count(connection)
            faults.reach("committing")
            connection.execute("COMMIT")
            faults.reach("committed")
            if self.path.name == CATALOGUE:
                self._write_journal(connection)

    def _write_journal(self, connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute("BEGIN")
        try:
            journal.follow(connection, self.root)
        except OSError:
            # what was asked for is committed; the journal catches up when there is room for it
            connection.execute("ROLLBACK")
        else:
            connection.execute("COMMIT")

    @contextmanager
    def beside(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection to an empty database `memory`, with the catalogue beside it to copy from.

        Unqualified names are the catalogue's within; afterwards it is let go, and the connection
        is the caller's to close. Raises as `reading` does.
        """
        import duckdb

        self._require()
        with self._turn("r"), self.translated(), ExitStack() as undo:
            connection = undo.enter_context(duckdb.connect(":memory:", config=BESIDE))
            connection.execute(QUIET)
            place = str(self.path).replace("'", "''")
            self._patiently(
                lambda: connection.execute(f"ATTACH '{place}' AS catalogue (READ_ONLY)")
            )
            connection.execute("USE catalogue")
            migrations.refuse_newer(connection)
            yield connection
            connection.execute("USE memory")
            connection.execute("DETACH catalogue")
            undo.pop_all()

    def create(self, lay: Callable[[duckdb.DuckDBPyConnection], None] | None = None) -> None:
        """Make a catalogue with the newest schema and what `lay` puts in; whole or not at all.

        Raises LibraryExists where one stands.
        """
        import duckdb

        making = self.path.with_name(f"{self.path.stem}.making{self.path.suffix}")
        with self._turn("w"), self.translated():
            if self.path.exists():
                raise LibraryExists(
                    f"{self.root} holds a library already.", "Use it, or name another folder."
                )
            _remove(making)
            with duckdb.connect(making, config=CONFIG) as connection:
                connection.execute("BEGIN")
                migrations.migrate(connection)
                journal.begin(connection, self.root)
                if lay is not None:
                    lay(connection)
                connection.execute("COMMIT")
            faults.reach("creating")
            making.chmod(0o600)
            os.replace(making, self.path)

    def replace_by(self, other: Path) -> Path | None:
        """Let another catalogue take this one's place; the old one is set aside under this path."""
        with self._turn("w"), self.translated():
            aside = next(p for p in _asides(self.path) if not p.exists())
            log = Path(f"{self.path}.wal")
            if self.path.exists():
                _set_aside(self.path, aside)
            if log.exists():
                log.rename(f"{aside}.wal")
            faults.reach("replacing")
            os.replace(other, self.path)
        return aside if aside.exists() else None

    def compact(self) -> None:
        """Write the catalogue anew without the bytes of what was deleted, whole or not at all.

        DuckDB gives the room of deleted rows to later ones, but leaves their bytes until then.
        """
        import duckdb

        fresh = self.path.with_name(f"{self.path.stem}.compacting{self.path.suffix}")
        with self._turn("w"), self._ours(), self.translated():
            with self._opened(read_only=False) as connection:  # what a log held is in the file now
                migrations.refuse_newer(connection)
            _remove(fresh)
            try:
                with duckdb.connect(":memory:", config=BESIDE) as connection:
                    connection.execute(QUIET)
                    compacting.copy(connection, self.path, fresh)
                fresh.chmod(0o600)
                faults.reach("compacted")
                os.replace(fresh, self.path)
            finally:
                _remove(fresh)

    def upgrade(self) -> None:
        """Bring the schema up to date, and put back what only the journal tells."""
        with self._writing() as connection:
            if not migrations.is_current(connection):
                migrations.migrate(connection)
                faults.reach("migrating")
            caught_up = catchup.catch_up(connection, self.root)
        self.caught_up += caught_up

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Whatever DuckDB or the disk says within is said in this library's own words."""
        import duckdb

        try:
            yield
        except (duckdb.Error, OSError) as error:
            ours = translate(error)
            if ours is None:
                raise
            raise ours from error

    @contextmanager
    def _turn(self, kind: Kind) -> Iterator[None]:
        with ExitStack() as held:
            with self.translated():
                try:
                    held.enter_context(self._turns.take(kind))
                except OSError as error:
                    if kind == "w" or error.errno not in _NO_TICKETS:
                        raise
            yield

    @contextmanager
    def _connected(self, *, read_only: bool) -> Iterator[duckdb.DuckDBPyConnection]:
        with self.translated(), self._opened(read_only=read_only) as connection:
            connection.execute("BEGIN")
            migrations.refuse_newer(connection)
            yield connection

    @contextmanager
    def _ours(self) -> Iterator[None]:
        """Opening to write empties a log into the file: not before the schema is known."""
        if Path(f"{self.path}.wal").exists():
            with self._connected(read_only=True):
                pass
        yield

    @contextmanager
    def _opened(self, *, read_only: bool) -> Iterator[duckdb.DuckDBPyConnection]:
        with ExitStack() as held:
            yield self._patiently(
                lambda: held.enter_context(attached(self.path, read_only=read_only))
            )

    def _require(self) -> None:
        if not self.path.is_file():
            raise NoLibrary(
                f"There is no library at {self.root}.",
                f"Make one: sovgen library new {self.root}",
            )

    def _patiently(self, attempt: Callable[[], _Got]) -> _Got:
        """Retry while a program without a ticket, such as DuckDB's own shell, holds the file."""
        import duckdb

        deadline = time.monotonic() + self._wait_s
        while True:
            try:
                return attempt()
            except duckdb.IOException as error:
                if not is_locked(error) or time.monotonic() > deadline:
                    raise
            time.sleep(_RETRY_S)


def _refuse_place(root: Path) -> None:
    if root.is_file():
        raise BadFolder(root, "it is a file")
    place = os.path.realpath(root)
    if "?" in place:  # it ends a path for DuckDB, which would look for the log elsewhere
        raise BadFolder(root, "DuckDB takes no path with a question mark")
    if place != place.encode("utf-8", "replace").decode():
        raise BadFolder(root, "DuckDB takes no path that is not UTF-8")


def _remove(catalogue: Path) -> None:
    for path in (catalogue, Path(f"{catalogue}.wal")):
        path.unlink(missing_ok=True)


def _set_aside(path: Path, aside: Path) -> None:
    """Keep the file under a second name, or a copy of it where files have one name only."""
    try:
        os.link(path, aside)
    except OSError:
        shutil.copyfile(path, aside)
        aside.chmod(0o600)


def _asides(path: Path) -> Iterator[Path]:
    """Names for a catalogue that was replaced."""
    for number in count(1):
        yield path.with_name(f"{path.stem}.replaced-{number}{path.suffix}")
