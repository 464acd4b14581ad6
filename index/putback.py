"""Putting back: what a journal remembers of pictures, sets and searches goes into a catalogue."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from index import makings, words
from index.columns import fill, split_zone
from index.hiding import HIDDEN
from index.making import Making

if TYPE_CHECKING:
    import duckdb

    from index.journal import Key
    from index.remarks import Remark


def put_back(connection: duckdb.DuckDBPyConnection, told: Mapping[Key, Remark]) -> None:
    """Make the catalogue say of the things told what they say, and leave the rest as it is.

    Pictures that the catalogue does not hold are passed over. In the caller's transaction; files
    of deleted pictures are left to `unsettle` and then to `index.trash.settle`.
    """
    numbers = dict(connection.execute("SELECT id, seq FROM pictures").fetchall())
    pictures = {
        numbers[name]: remark
        for (kind, name), remark in told.items()
        if kind == "picture" and name in numbers
    }
    _clear(connection, list(pictures))
    _put_pictures(connection, pictures)
    _put_sets(connection, [r for (kind, _), r in told.items() if kind == "set"])
    _put_searches(connection, [r for (kind, _), r in told.items() if kind == "search"])
    words.renew(connection, list(pictures))


def unsettle(connection: duckdb.DuckDBPyConnection, ids: Sequence[str] = ()) -> None:
    """Note that the files of these pictures, and of all deleted and hidden ones, have to follow."""
    connection.execute(
        "INSERT INTO unsettled SELECT seq, id FROM deleted WHERE NOT emptied "  # noqa: S608
        f"UNION SELECT seq, id FROM pictures WHERE id IN $1 OR seq IN {HIDDEN}",
        [list(ids)],
    )


def _clear(connection: duckdb.DuckDBPyConnection, numbers: list[int]) -> None:
    connection.execute("DELETE FROM makings WHERE picture IN ?", [numbers])
    connection.execute("DELETE FROM tags WHERE source = 'hand' AND picture IN ?", [numbers])
    connection.execute("DELETE FROM refused WHERE picture IN ?", [numbers])
    connection.execute("DELETE FROM curation WHERE picture IN ?", [numbers])
    connection.execute("DELETE FROM set_members WHERE picture IN ?", [numbers])
    connection.execute("DELETE FROM deleted WHERE seq IN ? AND NOT emptied", [numbers])


def _put_pictures(connection: duckdb.DuckDBPyConnection, told: Mapping[int, Remark]) -> None:
    times = [(n, *split_zone(_time(r["added"]))) for n, r in told.items()]
    fill(
        connection,
        "UPDATE pictures SET added = t.added, added_offset = t.minutes FROM (SELECT "
        "unnest($1::BIGINT[]) AS number, unnest($2::TIMESTAMP[]) AS added, "
        "unnest($3::SMALLINT[]) AS minutes) t WHERE seq = number",
        times,
    )
    made = [(n, making_of(m)) for n, r in told.items() for m in r.get("makings", ())]
    makings.insert(connection, made)
    fill(
        connection,
        "INSERT INTO tags SELECT unnest($1::BIGINT[]), unnest($2::VARCHAR[]), 'hand', NULL",
        [(n, tag) for n, r in told.items() for tag in r.get("tags", ())],
    )
    fill(
        connection,
        "INSERT INTO refused SELECT unnest($1::BIGINT[]), unnest($2::VARCHAR[])",
        [(n, tag) for n, r in told.items() for tag in r.get("refused", ())],
    )
    connection.execute(
        "DELETE FROM tags WHERE source = 'clip' AND picture IN ? "
        "AND (picture, tag) IN (SELECT (picture, tag) FROM refused)",
        [list(told)],
    )
    fill(
        connection,
        "INSERT INTO curation SELECT unnest($1::BIGINT[]), unnest($2::TINYINT[]), "
        "unnest($3::VARCHAR[]), unnest($4::VARCHAR[])",
        [
            (n, r.get("rating"), r.get("note"), r.get("caption"))
            for n, r in told.items()
            if {"rating", "note", "caption"} & r.keys()
        ],
    )
    fill(
        connection,
        "INSERT INTO set_members SELECT unnest($1::VARCHAR[]), unnest($2::BIGINT[]), "
        "unnest($3::INTEGER[])",
        [(name, n, place) for n, r in told.items() for name, place in r.get("sets", {}).items()],
    )
    fill(
        connection,
        "INSERT INTO deleted SELECT number, id, moment, false FROM (SELECT "
        "unnest($1::BIGINT[]) AS number, unnest($2::TIMESTAMP[]) AS moment) "
        "JOIN pictures ON seq = number",
        [(n, split_zone(_time(r["deleted"]))[0]) for n, r in told.items() if "deleted" in r],
    )
    _choose_main_files(connection, told)


def _choose_main_files(connection: duckdb.DuckDBPyConnection, told: Mapping[int, Remark]) -> None:
    """The first file named is the main one, where there are several."""
    for number, remark in told.items():
        files = remark.get("files", ())
        if len(files) > 1:
            connection.execute(
                "UPDATE files SET main = (path = $2) WHERE picture = $1 AND EXISTS "
                "(SELECT 1 FROM files WHERE picture = $1 AND path = $2)",
                [number, files[0]["path"]],
            )


def _put_sets(connection: duckdb.DuckDBPyConnection, told: Iterable[Remark]) -> None:
    for remark in told:
        created = split_zone(_time(remark["created"]))[0]
        connection.execute("DELETE FROM sets WHERE name = ?", [remark["set"]])
        connection.execute(
            "INSERT INTO sets VALUES (?, ?, ?)",
            [remark["set"], remark.get("hidden", False), created],
        )


def _put_searches(connection: duckdb.DuckDBPyConnection, told: Iterable[Remark]) -> None:
    for remark in told:
        connection.execute(
            "INSERT OR REPLACE INTO searches VALUES (?, ?, ?)",
            [remark["search"], json.dumps(remark["query"]), split_zone(_time(remark["saved"]))[0]],
        )


def can_be_put_back(remark: Mapping[str, Any]) -> bool:
    """Whether a remark is one that `index.remarks` can have written, and no damaged one."""
    try:
        needed = [name for kind, names in _NEEDED.items() if kind in remark for name in names]
        return bool(remark.get("gone")) or (
            set(needed) <= remark.keys()
            and all(_FORMS[name](value) for name, value in remark.items() if name in _FORMS)
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return False


def making_of(values: Mapping[str, Any]) -> Making:
    """The making that a remark tells of."""
    made = values.get("made")
    settings = {
        n: tuple(v) if isinstance(v, list) else v for n, v in values.get("settings", {}).items()
    }
    return Making(**{**values, "settings": settings, "made": _time(made) if made else None})


def _time(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _are_places(value: Mapping[str, int]) -> bool:
    return all(isinstance(place, int) for place in value.values())


def _are_files(value: Iterable[Mapping[str, str]]) -> bool:
    return all(_is_text(f["path"]) and bytes.fromhex(f.get("raw", "")) is not None for f in value)


def _are_makings(value: Iterable[Mapping[str, Any]]) -> bool:
    return all(map(making_of, value))


_NEEDED = {"picture": ["added"], "set": ["created"], "search": ["query", "saved"]}
# What each value of a remark has to be; what else stands there came with a later version.
_FORMS: Mapping[str, Callable[[Any], bool]] = {
    "added": lambda value: bool(_time(value)),
    "deleted": lambda value: bool(_time(value)),
    "created": lambda value: bool(_time(value)),
    "saved": lambda value: bool(_time(value)),
    "rating": lambda value: value in range(6),
    "note": _is_text,
    "caption": _is_text,
    "tags": _are_texts,
    "refused": _are_texts,
    "sets": _are_places,
    "files": _are_files,
    "makings": _are_makings,
    "query": lambda value: isinstance(value, dict),
}
