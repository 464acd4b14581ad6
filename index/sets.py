"""Sets: which there are, by name, and what is said where there is none of that name.

Every function works on the connection it is given. Names of hidden sets are told to nobody.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from index.errors import NoSuchSet
from index.names import normal_name

if TYPE_CHECKING:
    import duckdb


def is_set(connection: duckdb.DuckDBPyConnection, name: str) -> bool:
    """Whether there is a set of that name, as names are kept."""
    return bool(connection.execute("SELECT 1 FROM sets WHERE name = ?", [name]).fetchall())


def required(connection: duckdb.DuckDBPyConnection, name: str, *, to_fill: bool = False) -> str:
    """The name as it is kept. Raises NoSuchSet with the nearest names, or BadQuery.

    to_fill: whether making the set would serve as well
    """
    name = normal_name(name)
    if is_set(connection, name):
        return name
    rows = connection.execute("SELECT name FROM sets WHERE NOT hidden ORDER BY name").fetchall()
    near = difflib.get_close_matches(name, [known for (known,) in rows], n=3, cutoff=0.5)
    meant = f"Did you mean {' or '.join(map(repr, near))}? " if near else ""
    make = f"; make it: sovgen set new {name!r}" if to_fill else ""
    raise NoSuchSet(f"There is no set {name!r}.", f"{meant}See them: sovgen set list{make}")
