"""Saved: searches by name, to be asked again.

A search is kept as it was asked, so that it finds what the library holds when it is asked again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from index import journal
from index.errors import BadQuery, NoSuchSearch
from index.names import normal_name
from index.query import Query

if TYPE_CHECKING:
    from index.library import Library

_DATES = ("since", "until")


@dataclass(frozen=True)
class SavedSearch:
    """A search under a name; saved: when."""

    name: str
    query: Query
    saved: datetime


def save_search(library: Library, name: str, query: Query) -> None:
    """Keep a search, in place of one of that name. Raises BadQuery."""
    moment = datetime.now(UTC).replace(tzinfo=None)
    values = [normal_name(name, "search name"), _written(query), moment]
    with library.store.writing() as connection:
        connection.execute("INSERT OR REPLACE INTO searches VALUES (?, ?, ?)", values)
        journal.touch(connection, "search", str(values[0]))


def saved_search(library: Library, name: str) -> Query:
    """The search of that name. Raises NoSuchSearch."""
    with library.store.reading() as connection:
        row = connection.execute(
            "SELECT query FROM searches WHERE name = ?", [normal_name(name, "search name")]
        ).fetchone()
    if row is None:
        raise _missing(name)
    return _read(row[0])


def list_searches(library: Library, hidden: bool = False) -> list[SavedSearch]:
    """Every saved search, by name.

    hidden: also those that ask for a hidden set
    """
    with library.store.reading() as connection:
        found = connection.execute(
            "SELECT name, query, saved FROM searches WHERE $1 OR coalesce(query->>'set', '') "
            "NOT IN (SELECT name FROM sets WHERE hidden) ORDER BY name",
            [hidden],
        ).fetchall()
    return [SavedSearch(name, _read(text), at.replace(tzinfo=UTC)) for name, text, at in found]


def rename_search(library: Library, name: str, to: str) -> None:
    """Call a search something else. Raises NoSuchSearch, or BadQuery where one is called so."""
    name, to = normal_name(name, "search name"), normal_name(to, "search name")
    with library.store.writing() as connection:
        names = {each for (each,) in connection.execute("SELECT name FROM searches").fetchall()}
        if name not in names:
            raise _missing(name)
        if to in names:
            raise BadQuery(
                f"There is a saved search {to!r} already.", f"Delete it: sovgen saved delete {to!r}"
            )
        connection.execute("UPDATE searches SET name = ? WHERE name = ?", [to, name])
        for each in (name, to):
            journal.touch(connection, "search", each)


def delete_search(library: Library, name: str) -> None:
    """Forget a search; the pictures that it finds stay. Raises NoSuchSearch."""
    name = normal_name(name, "search name")
    with library.store.writing() as connection:
        row = connection.execute("DELETE FROM searches WHERE name = ?", [name]).fetchone()
        if not row or not row[0]:
            raise _missing(name)
        journal.touch(connection, "search", name)


def _missing(name: str) -> NoSuchSearch:
    return NoSuchSearch(f"There is no saved search {name!r}.", "See them: sovgen saved list")


def _written(query: Query) -> str:
    """What a search says beyond a plain one, as JSON."""
    plain = asdict(Query())
    said = {name: value for name, value in asdict(query).items() if value != plain[name]}
    text = json.dumps(said, default=_jsonable, sort_keys=True, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadQuery("A name or a word of this search is no text and cannot be kept.") from error
    return text


def _jsonable(value: object) -> object:
    if isinstance(value, Path):
        return {"file": str(value.absolute())}
    return value.isoformat() if isinstance(value, date) else str(value)


def _read(text: str) -> Query:
    """The search; what a later version adds, and this one does not know, is not dropped."""
    said: dict[str, object] = json.loads(text)
    strange = sorted(said.keys() - {f.name for f in fields(Query)})
    if strange:
        raise BadQuery(f"The saved search asks for {strange[0]!r}, which is not known here.")
    values = {name: _value(name, value) for name, value in said.items()}
    return Query(**values)  # type: ignore[arg-type]


def _value(name: str, value: object) -> object:
    if name in _DATES:
        return date.fromisoformat(str(value))
    if not isinstance(value, list):
        return value
    return tuple(Path(v["file"]) if isinstance(v, Mapping) else v for v in value)
