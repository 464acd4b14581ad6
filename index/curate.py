"""What people say of pictures: tags, ratings, notes and sets.

Each function is one transaction on a library. Pictures are named by prefixes of their ids. Tags by
hand stand apart from those that an encoder gave. Doing a thing twice is the same as doing it once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from index import catalogue, hiding, sets, trash, words
from index.errors import BadQuery, SetExists
from index.names import LONGEST_NOTE, normal_name, normal_tag, plain
from index.store import Store

if TYPE_CHECKING:
    import duckdb

    from index.entry import Entry
    from index.library import Library

RATINGS = range(6)


@dataclass(frozen=True)
class PictureSet:
    """A named set: when it was made, and how many pictures it shows."""

    name: str
    count: int
    hidden: bool
    created: datetime


def tag(library: Library | Store, prefixes: Sequence[str], tags: Sequence[str]) -> int:
    """Tag pictures by hand; returns how many tags are new on their pictures.

    Raises NoSuchPicture, AmbiguousId or BadQuery; then nothing was tagged.
    """
    names = [normal_tag(name) for name in tags]
    with _store(library).writing() as connection:
        numbers = catalogue.resolve_all(connection, prefixes)
        result = connection.execute(
            "INSERT INTO tags SELECT picture, tag, 'hand', NULL FROM "
            "(SELECT DISTINCT unnest($1::BIGINT[]) AS picture) CROSS JOIN "
            "(SELECT DISTINCT unnest($2::VARCHAR[]) AS tag) "
            "WHERE (picture, tag) NOT IN (SELECT (picture, tag) FROM tags WHERE source = 'hand')",
            [numbers, names],
        )
        changed = _changed(result)
        words.renew(connection, numbers)
        return changed


def untag(library: Library | Store, prefixes: Sequence[str], tags: Sequence[str]) -> int:
    """Take tags away, by hand and by the encoder alike; returns how many were there.

    No encoder gives a tag again that was taken away.
    """
    names = [normal_tag(name) for name in tags]
    with _store(library).writing() as connection:
        numbers = catalogue.resolve_all(connection, prefixes)
        connection.execute(
            "INSERT INTO refused SELECT picture, tag FROM tags "
            "WHERE source = 'clip' AND picture IN ? AND tag IN ?",
            [numbers, names],
        )
        result = connection.execute(
            "DELETE FROM tags WHERE picture IN ? AND tag IN ?", [numbers, names]
        )
        changed = _changed(result)
        words.renew(connection, numbers)
        return changed


def rate(library: Library | Store, prefixes: Sequence[str], rating: int | None) -> None:
    """Rate pictures from 0 to 5; None takes the rating away. Raises BadQuery beyond."""
    if rating is not None and (isinstance(rating, bool) or rating not in RATINGS):
        raise BadQuery(f"{rating!r} is no rating.", "Give a whole number from 0 to 5.")
    with _store(library).writing() as connection:
        numbers = _curated(connection, prefixes)
        connection.execute("UPDATE curation SET rating = ? WHERE picture IN ?", [rating, numbers])


def note(library: Library | Store, prefixes: Sequence[str], text: str) -> None:
    """Write a note on pictures, over one that stands; an empty text takes it away."""
    text = plain(text.strip(), "note", LONGEST_NOTE, allowed="\n\t")
    with _store(library).writing() as connection:
        numbers = _curated(connection, prefixes)
        connection.execute(
            "UPDATE curation SET note = ? WHERE picture IN ?", [text or None, numbers]
        )
        words.renew(connection, numbers)


def caption(library: Library | Store, prefixes: Sequence[str], text: str) -> None:
    """Say what pictures show, over what stands; an empty text takes it away.

    Exports and trainings take it for the picture's text. Raises BadQuery.
    """
    text = " ".join(plain(text.strip(), "caption", LONGEST_NOTE, allowed="\n\t").split())
    with _store(library).writing() as connection:
        numbers = _curated(connection, prefixes)
        connection.execute(
            "UPDATE curation SET caption = ? WHERE picture IN ?", [text or None, numbers]
        )
        words.renew(connection, numbers)


def new_set(library: Library | Store, name: str) -> None:
    """Make an empty set. Raises SetExists or BadQuery."""
    name = normal_name(name)
    with _store(library).writing() as connection:
        if sets.is_set(connection, name):
            raise SetExists(f"There is a set {name!r} already.", f"See it: sovgen set show {name}")
        moment = datetime.now(UTC).replace(tzinfo=None)
        connection.execute("INSERT INTO sets VALUES (?, false, ?)", [name, moment])


def hide_set(library: Library | Store, name: str, hidden: bool = True) -> None:
    """Keep a set and its pictures out of everything that does not ask for the set, or end that.

    Raises NoSuchSet.
    """
    store = _store(library)
    with store.writing() as connection:
        name = sets.required(connection, name)
        connection.execute("UPDATE sets SET hidden = ? WHERE name = ?", [hidden, name])
        trash.unsettle(connection, _members(connection, name)[0])
    trash.settle(store)


def delete_set(library: Library | Store, name: str) -> None:
    """Unmake a set; its pictures stay in the library. Raises NoSuchSet."""
    store = _store(library)
    with store.writing() as connection:
        name = sets.required(connection, name)
        numbers, _ = _members(connection, name)
        if was_hidden := hiding.is_hidden(connection, name):
            trash.unsettle(connection, numbers)
        connection.execute("DELETE FROM set_members WHERE set_name = ?", [name])
        connection.execute("DELETE FROM sets WHERE name = ?", [name])
    if was_hidden:
        trash.settle(store)


def add_to_set(
    library: Library | Store, name: str, prefixes: Sequence[str], at: int | None = None
) -> int:
    """Put pictures into a set, in their order; returns how many it did not hold before.

    at: the place that the first of them gets among those that the set shows, from 1; those that it
    holds move there. Without it new ones go to the end, and the others keep their places.
    Raises NoSuchSet, NoSuchPicture, AmbiguousId or BadQuery.
    """
    if at is not None and at < 1:
        raise BadQuery(f"There is no place {at} in a set.", "The first place is 1.")
    store = _store(library)
    with store.writing() as connection:
        name = sets.required(connection, name, to_fill=True)
        held, last = _members(connection, name)
        chosen = catalogue.resolve_all(connection, prefixes)
        fresh = [number for number in chosen if number not in held]
        _place(connection, name, fresh, last)
        if at is not None:
            _reorder(connection, name, chosen, at)
        if is_hidden := hiding.is_hidden(connection, name):
            trash.unsettle(connection, fresh)
    if is_hidden:
        trash.settle(store)
    return len(fresh)


def remove_from_set(library: Library | Store, name: str, prefixes: Sequence[str]) -> int:
    """Take pictures out of a set; returns how many it held. Raises as `add_to_set` does."""
    store = _store(library)
    with store.writing() as connection:
        name = sets.required(connection, name)
        numbers = catalogue.resolve_all(connection, prefixes)
        if was_hidden := hiding.is_hidden(connection, name):
            trash.unsettle(connection, numbers)
        result = connection.execute(
            "DELETE FROM set_members WHERE set_name = ? AND picture IN ?", [name, numbers]
        )
        changed = _changed(result)
    if was_hidden:
        trash.settle(store)
    return changed


def list_sets(library: Library | Store, hidden: bool = False) -> list[PictureSet]:
    """Every set by name; pictures in the trash, and those that are hidden, do not count.

    hidden: also the hidden sets, which count their own pictures
    """
    with _store(library).reading() as connection:
        rows = connection.execute(
            "SELECT name, count(l.seq), s.hidden, created FROM sets s "
            "LEFT JOIN set_members ON set_name = name "
            "LEFT JOIN library l ON l.seq = picture AND l.hidden <= s.hidden "
            "WHERE s.hidden <= ? GROUP BY name, s.hidden, created ORDER BY name",
            [hidden],
        ).fetchall()
    return [PictureSet(name, n, hidden, at.replace(tzinfo=UTC)) for name, n, hidden, at in rows]


def show_set(library: Library | Store, name: str) -> list[Entry]:
    """The pictures of a set, in its order, without those in the trash. Raises NoSuchSet.

    A set that is not hidden does not show what another hides.
    """
    store = _store(library)
    with store.reading() as connection:
        name = sets.required(connection, name)
        numbers, _ = _members(connection, name)
        entries = catalogue.entries(connection, store.root, numbers)
        asked = hiding.is_hidden(connection, name)
    return [entry for entry in entries if asked or not entry.hidden]


def _store(library: Library | Store) -> Store:
    return library if isinstance(library, Store) else library.store


def _curated(connection: duckdb.DuckDBPyConnection, prefixes: Sequence[str]) -> list[int]:
    """The numbers of the pictures, each with a row in `curation`."""
    numbers = catalogue.resolve_all(connection, prefixes)
    connection.execute(
        "INSERT INTO curation (picture) SELECT picture FROM "
        "(SELECT unnest($1::BIGINT[]) AS picture) WHERE picture NOT IN "
        "(SELECT picture FROM curation)",
        [numbers],
    )
    return numbers


def _members(connection: duckdb.DuckDBPyConnection, name: str) -> tuple[list[int], int]:
    """The numbers of a set's pictures in its order, and the last position taken."""
    rows = connection.execute(
        "SELECT picture, position FROM set_members WHERE set_name = ? ORDER BY position, picture",
        [name],
    ).fetchall()
    return [row[0] for row in rows], rows[-1][1] if rows else 0


def _place(
    connection: duckdb.DuckDBPyConnection, name: str, numbers: Sequence[int], last: int
) -> None:
    """Put pictures into a set, behind a position."""
    catalogue.fill(
        connection,
        "INSERT INTO set_members SELECT unnest($1::VARCHAR[]), unnest($2::BIGINT[]), "
        "unnest($3::INTEGER[])",
        [(name, number, last + place) for place, number in enumerate(numbers, 1)],
    )


def _reorder(
    connection: duckdb.DuckDBPyConnection, name: str, chosen: Sequence[int], at: int
) -> None:
    """Let the chosen members of a set begin at a place among those that it shows."""
    moved = set(chosen)
    rest = [number for number in _members(connection, name)[0] if number not in moved]
    rows = connection.execute(
        "SELECT seq FROM library WHERE seq IN ? AND hidden <= ?",
        [rest, hiding.is_hidden(connection, name)],
    ).fetchall()
    seen = {number for (number,) in rows}
    shown = [number for number in rest if number in seen]
    place = rest.index(shown[at - 1]) if at <= len(shown) else len(rest)
    connection.execute("DELETE FROM set_members WHERE set_name = ?", [name])
    _place(connection, name, [*rest[:place], *chosen, *rest[place:]], 0)


def _changed(result: duckdb.DuckDBPyConnection) -> int:
    row = result.fetchone()
    return int(row[0]) if row else 0
