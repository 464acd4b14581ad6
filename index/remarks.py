"""Remarks: all that the catalogue knows and that cannot be worked out from the picture files again.

One plain JSON object for each picture (keyed by its id), set and saved search, the same every time
for the same state: what people said, how the picture came to be, when it came in, its files.
`index.journal` writes them down, `index.rebuild` puts them back. Times are ISO 8601 with a zone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from index import makings
from index.columns import zoned

if TYPE_CHECKING:
    import duckdb

    from index.making import Making

Remark = dict[str, Any]

_PICTURES = """
SELECT seq, pictures.id, added + to_minutes(added_offset), added_offset, d.deleted,
    c.rating, c.note, c.caption
FROM pictures LEFT JOIN deleted d USING (seq)
LEFT JOIN curation c ON c.picture = seq AND c.picture IN $1
WHERE seq IN $1 ORDER BY seq
"""
_TAGS = "SELECT picture, tag FROM tags WHERE source = 'hand' AND picture IN $1 ORDER BY tag"
_REFUSED = "SELECT DISTINCT picture, tag FROM refused WHERE picture IN $1 ORDER BY tag"
_SETS = """
SELECT picture, set_name, position FROM set_members WHERE picture IN $1 ORDER BY set_name
"""
_FILES = """
SELECT picture, path, raw_path, inside FROM files WHERE picture IN $1 ORDER BY main DESC, path
"""


def of_pictures(connection: duckdb.DuckDBPyConnection, numbers: Sequence[int]) -> list[Remark]:
    """What is said of these pictures, by rising number; deleted ones too, emptied ones not."""
    rows = connection.execute(_PICTURES, [list(numbers)]).fetchall()
    tags, refused, sets, files = (
        _by_picture(connection.execute(query, [list(numbers)]).fetchall())
        for query in (_TAGS, _REFUSED, _SETS, _FILES)
    )
    made = makings.of_pictures(connection, numbers)
    return [
        _plain(
            {
                "picture": id,
                "added": _iso(zoned(added, offset)),
                "deleted": _iso(deleted.replace(tzinfo=UTC)) if deleted else None,
                "rating": rating,
                "note": note,
                "caption": caption,
                "tags": [tag for (tag,) in tags.get(number, ())],
                "refused": [tag for (tag,) in refused.get(number, ())],
                "sets": dict(sets.get(number, ())),
                "files": [_file(*file) for file in files.get(number, ())],
                "makings": [_making(making) for making in made.get(number, ())],
            }
        )
        for number, id, added, offset, deleted, rating, note, caption in rows
    ]


def of_sets(connection: duckdb.DuckDBPyConnection, names: Sequence[str]) -> list[Remark]:
    """What is said of these sets, beyond their pictures, which tell it themselves."""
    rows = connection.execute(
        "SELECT name, hidden, created FROM sets WHERE name IN $1 ORDER BY name", [list(names)]
    ).fetchall()
    return [
        {"set": name, "hidden": hidden, "created": _iso(created.replace(tzinfo=UTC))}
        for name, hidden, created in rows
    ]


def of_searches(connection: duckdb.DuckDBPyConnection, names: Sequence[str]) -> list[Remark]:
    """The saved searches of these names."""
    rows = connection.execute(
        "SELECT name, query, saved FROM searches WHERE name IN $1 ORDER BY name", [list(names)]
    ).fetchall()
    return [
        {"search": name, "query": json.loads(query), "saved": _iso(saved.replace(tzinfo=UTC))}
        for name, query, saved in rows
    ]


def of_everything(connection: duckdb.DuckDBPyConnection) -> list[Remark]:
    """All there is to say of a library, pictures in the order in which they came."""
    numbers = _column(connection, "SELECT seq FROM pictures ORDER BY seq")
    return [*of_all_but_pictures(connection), *of_pictures(connection, numbers)]


def of_all_but_pictures(connection: duckdb.DuckDBPyConnection) -> list[Remark]:
    """All there is to say of sets and saved searches."""
    return [
        *of_sets(connection, _column(connection, "SELECT name FROM sets")),
        *of_searches(connection, _column(connection, "SELECT name FROM searches")),
    ]


def key_of(remark: Mapping[str, object]) -> tuple[str, str] | None:
    """What a remark is about: ('picture', id), ('set', name) or ('search', name)."""
    for kind in ("picture", "set", "search"):
        if isinstance(name := remark.get(kind), str):
            return kind, name
    return None


def _column(connection: duckdb.DuckDBPyConnection, query: str) -> list[Any]:
    return [value for (value,) in connection.execute(query).fetchall()]


def _by_picture(rows: Sequence[tuple[Any, ...]]) -> dict[int, list[tuple[Any, ...]]]:
    found: dict[int, list[tuple[Any, ...]]] = {}
    for number, *rest in rows:
        found.setdefault(number, []).append(tuple(rest))
    return found


def _file(path: str, raw: bytes | None, inside: bool) -> Remark:
    return _plain({"path": path, "raw": raw.hex() if raw else None, "outside": not inside})


def _making(making: Making) -> Remark:
    settings = {n: list(v) if isinstance(v, tuple) else v for n, v in making.settings.items()}
    extra = dict(making.extra)
    return _plain({**vars(making), "made": _iso(making.made), "settings": settings, "extra": extra})


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _plain(values: Remark) -> Remark:
    """Without what says nothing, so that lines stay short."""
    return {name: value for name, value in values.items() if value not in (None, [], {}, False)}
