"""Instance: DuckDB, kept running in this process, with a catalogue attached while somebody uses it.

To start DuckDB takes 30 ms of processor time, to attach a file 3. So it is started once for a
catalogue, and the file is let go when its last user leaves. Within, SQL reaches that file and no
other. This file knows nothing of turns: who may write is decided before.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

# One fixed configuration: DuckDB refuses a second one in the same process, and its defaults would
# fetch extensions from the network.
CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "enable_external_access": False,
    "python_enable_replacements": False,
    "threads": 2,
}
# No option of a configuration: on stdout, in the middle of an answer, a bar is drawn otherwise once
# a statement takes two seconds.
QUIET = "SET enable_progress_bar = false"
_ALIAS = "library"
# The file, its log, and what DuckDB writes beside the log while it empties or replays it.
_PARTS = ("", ".wal", ".wal.checkpoint", ".wal.recovery")
_IDLE = 1  # instances that stay without a user: each has a thread and some megabytes


class _Instance:
    """One DuckDB that can reach one catalogue.

    users: connections that are open; the file is attached while there are any
    broken: whether DuckDB failed, after which it may refuse everything
    """

    def __init__(self, path: str) -> None:
        self.users = 0
        self.read_only = self.broken = False
        self._path = path
        self._root = _started(path)

    def serves(self, *, read_only: bool) -> bool:
        """Whether one more user can come now: anybody when nobody is here, then who only reads."""
        return not self.users or (read_only and self.read_only and not self.broken)

    def come(self, *, read_only: bool) -> duckdb.DuckDBPyConnection:
        if not self.users:
            mode = " (READ_ONLY)" if read_only else ""
            self._root.execute(f"ATTACH {_quoted(self._path)} AS {_ALIAS}{mode}")
            self.read_only = read_only
        connection = self._root.cursor()
        connection.execute(QUIET)
        connection.execute(f"USE {_ALIAS}")
        self.users += 1
        return connection

    def go(self) -> None:
        import duckdb

        self.users -= 1
        if not self.users and not self.broken:
            try:
                self._root.execute(f"DETACH {_ALIAS}")
            except duckdb.Error:
                # on a full disk the log stays: it holds all that was committed
                self.broken = True

    def stop(self) -> None:
        self._root.close()


_gate = threading.Condition()
_instances: dict[str, _Instance] = {}
_inherited: list[_Instance] = []  # a forked process has none of the threads of these


@contextmanager
def attached(path: Path, *, read_only: bool) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to the catalogue, shared within this process by those who only read.

    What is not committed when it ends is undone. Whoever is the last to leave empties the log into
    the file. Raises what DuckDB raises.
    """
    import duckdb

    instance, connection = _enter(os.path.realpath(path), read_only=read_only)
    try:
        yield connection
    except duckdb.Error:
        instance.broken = True
        raise
    finally:
        try:
            connection.close()
        finally:
            _leave(instance)


def _enter(key: str, *, read_only: bool) -> tuple[_Instance, duckdb.DuckDBPyConnection]:
    with _gate:
        _gate.wait_for(lambda: key not in _instances or _instances[key].serves(read_only=read_only))
        instance = _instances.pop(key, None) or _Instance(key)
        _instances[key] = instance  # the one used last stands last
        try:
            return instance, instance.come(read_only=read_only)
        except BaseException:
            instance.broken = True
            _tidy()
            raise


def _leave(instance: _Instance) -> None:
    with _gate:
        instance.go()
        _tidy()
        _gate.notify_all()


def _tidy() -> None:
    """Stop what failed, and what has been without a user for longest."""
    unused = [key for key, instance in _instances.items() if not instance.users]
    for key in unused:
        if _instances[key].broken or key not in unused[-_IDLE:]:
            _instances.pop(key).stop()


def _started(path: str) -> duckdb.DuckDBPyConnection:
    import duckdb

    reachable = ", ".join(_quoted(path + part) for part in _PARTS)
    open_first = CONFIG | {"enable_external_access": True, "temp_directory": f"{path}.tmp"}
    root = duckdb.connect(":memory:", config=open_first)
    root.execute(QUIET)
    root.execute(f"SET allowed_paths = [{reachable}]")
    root.execute("SET enable_external_access = false")
    return root


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _forget() -> None:
    """In a forked process: its own threads are to be started when it needs them."""
    global _gate
    _inherited.extend(_instances.values())
    _instances.clear()
    _gate = threading.Condition()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
