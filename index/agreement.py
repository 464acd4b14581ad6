"""Agreement: whether the journal tells what the catalogue holds, asked part by part.

Others may write between two turns, and change both: what they appended is read before the next
part is compared. Left out are what is still to follow, and pictures of which only the journal
knows: their files may come back.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from index import journal, looks, remarks
from index.remarks import Remark, key_of

if TYPE_CHECKING:
    import duckdb

    from index.journal import Key
    from index.looks import Look
    from index.store import Store

_PART = 5_000  # pictures in one turn


def differing(store: Store) -> list[str]:
    """The pictures (by id), sets and saved searches of which the journal tells otherwise."""
    comparison = _Comparison(store.root)
    looks.take(store, [comparison.parts])
    return sorted(name for _, name in comparison.differing)


class _Comparison:
    """What was found to differ up to now, and the journal as far as it was read."""

    def __init__(self, root: Path) -> None:
        self.differing: set[Key] = set()
        self._path = journal.path_of(root)
        self._told: dict[Key, Remark] = {}
        self._file: tuple[int, int] | None = None
        self._end = 0

    def parts(self, connection: duckdb.DuckDBPyConnection) -> Sequence[Look]:
        """A look at sets and searches, and one at every so many pictures."""
        rows = connection.execute("SELECT seq FROM pictures ORDER BY seq").fetchall()
        numbers = [number for (number,) in rows]
        return [
            self._others,
            *(
                partial(self._pictures, numbers=numbers[start : start + _PART])
                for start in range(0, len(numbers), _PART)
            ),
        ]

    def _pictures(
        self, connection: duckdb.DuckDBPyConnection, numbers: Sequence[int]
    ) -> Sequence[Look]:
        true = _by_key(remarks.of_pictures(connection, numbers))
        self._compare(connection, true, true)
        return ()

    def _others(self, connection: duckdb.DuckDBPyConnection) -> Sequence[Look]:
        true = _by_key(remarks.of_all_but_pictures(connection))
        told = {key for key in self._read() if key[0] != "picture"}
        self._compare(connection, true, true.keys() | told)
        return ()

    def _compare(
        self,
        connection: duckdb.DuckDBPyConnection,
        true: Mapping[Key, Remark],
        keys: Collection[Key],
    ) -> None:
        told = self._read()
        wrong = {key for key in keys if _holds(told.get(key)) != true.get(key)}
        self.differing |= wrong - journal.to_follow(connection) if wrong else set()

    def _read(self) -> Mapping[Key, Remark]:
        """What the journal tells by now; all of it again where it was written anew."""
        try:
            with self._path.open("rb") as file:
                status = os.fstat(file.fileno())
                if self._file != (status.st_dev, status.st_ino) or status.st_size < self._end:
                    self._told, self._end = {}, 0
                    self._file = (status.st_dev, status.st_ino)
                file.seek(self._end)
                data = file.read()
        except FileNotFoundError:
            return {}
        self._end += data.rfind(b"\n") + 1  # a line that was cut short is ended by the next append
        journal.apply(self._told, data.splitlines())
        return self._told


def _holds(remark: Remark | None) -> Remark | None:
    return None if remark is None or remark.get("gone") else remark


def _by_key(said: Iterable[Remark]) -> dict[Key, Remark]:
    return {key: remark for remark in said if (key := key_of(remark))}
