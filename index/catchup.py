"""Catching up: what a catalogue has lost and its journal still tells is put back.

Every transaction that changes what the journal tells takes the next number, and the journal's lines
end with it. A catalogue whose number is smaller than the journal's has lost what came after: its
log was cut short by a crash, or it is an older copy of the file. That is seen at constant cost
whenever somebody opens it to write, and before anything is written. Pictures that the catalogue
does not hold are left to `index.repair`, which takes their files in again.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from index import journal
from index.putback import put_back, unsettle

if TYPE_CHECKING:
    import duckdb

    from index.journal import Key


def is_behind(connection: duckdb.DuckDBPyConnection, root: Path) -> bool:
    """Whether the journal tells of later changes than the catalogue holds."""
    return journal.number(connection) < journal.last(root)


def catch_up(connection: duckdb.DuckDBPyConnection, root: Path) -> int:
    """Make good what was lost, in the caller's transaction; returns of how many things."""
    if not is_behind(connection, root):
        return 0
    told = journal.since(root, journal.number(connection))
    gone = [key for key, remark in told.items() if remark.get("gone")]
    put_back(connection, {key: remark for key, remark in told.items() if not remark.get("gone")})
    _let_go(connection, gone)
    unsettle(connection, [name for kind, name in told if kind == "picture"])
    journal.begin(connection, root)
    return len(told)


def _let_go(connection: duckdb.DuckDBPyConnection, gone: list[Key]) -> None:
    """A picture that is gone had been in the trash, where it is again: it can go once more."""
    for kind, name in gone:
        if kind == "set":
            connection.execute("DELETE FROM set_members WHERE set_name = ?", [name])
            connection.execute("DELETE FROM sets WHERE name = ?", [name])
        if kind == "search":
            connection.execute("DELETE FROM searches WHERE name = ?", [name])
