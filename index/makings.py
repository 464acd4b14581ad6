"""Makings: the rows that tell how pictures came to be, one or more for each picture."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from index.columns import fill, split_zone, zoned
from index.making import SETTINGS, Making

if TYPE_CHECKING:
    import duckdb

# What makes two makings the same: all but when, how long, and what was thought of it.
_SAME = (
    "producer prompt negative model model_hash sampler steps guidance seed width height "
    "device dtype"
).split()
_TYPES = (
    "BIGINT BOOLEAN VARCHAR VARCHAR VARCHAR VARCHAR VARCHAR VARCHAR INTEGER DOUBLE UBIGINT INTEGER "
    "INTEGER VARCHAR VARCHAR"
).split()
_TYPES += [*SETTINGS.values(), *"DOUBLE VARCHAR VARCHAR TIMESTAMP SMALLINT JSON".split()]
_INSERT_MAKINGS = (
    f"INSERT INTO makings (picture, newest, {', '.join([*_SAME, *SETTINGS])}, duration, "
    "encoder_match, safety, made, made_offset, extra) SELECT "
    + ", ".join(f"unnest(${n}::{kind}[])" for n, kind in enumerate(_TYPES, 1))
)


def insert(connection: duckdb.DuckDBPyConnection, rows: Sequence[tuple[int, Making]]) -> None:
    """Write makings by their pictures' numbers; the first of each picture is its newest."""
    firsts = {number: place for place, (number, _) in reversed(list(enumerate(rows)))}
    fill(
        connection,
        _INSERT_MAKINGS,
        [
            _row(number, making, newest=firsts[number] == place)
            for place, (number, making) in enumerate(rows)
        ],
    )


def add(connection: duckdb.DuckDBPyConnection, number: int, making: Making) -> bool:
    """One more making, unless it is recorded; the one made last becomes the newest.

    Returns whether it is that one.
    """
    if any(is_same(making, other) for other in of_picture(connection, number)):
        return False
    insert(connection, [(number, making)])
    connection.execute(
        "UPDATE makings SET newest = (rowid = (SELECT arg_max(rowid, "
        "(coalesce(made, '-infinity'::TIMESTAMP), rowid)) FROM makings WHERE picture = $1)) "
        "WHERE picture = $1",
        [number],
    )
    return is_same(making, of_picture(connection, number)[0])


def _row(number: int, making: Making, *, newest: bool) -> list[object]:
    made, offset = split_zone(making.made) if making.made else (None, None)
    extra = json.dumps(dict(making.extra), sort_keys=True) if making.extra else None
    same = [_whole_seed(making) if name == "seed" else getattr(making, name) for name in _SAME]
    set_ = [_plain(making.settings.get(name)) for name in SETTINGS]
    others = [making.duration, making.encoder_match, making.safety, made, offset, extra]
    return [number, newest, *same, *set_, *others]


def of_picture(connection: duckdb.DuckDBPyConnection, number: int) -> list[Making]:
    """Every recorded making of a picture, the newest first."""
    return of_pictures(connection, [number]).get(number, [])


def of_pictures(
    connection: duckdb.DuckDBPyConnection, numbers: Sequence[int]
) -> dict[int, list[Making]]:
    """The same for many pictures, by their numbers."""
    result = connection.execute(
        "SELECT * EXCLUDE (newest) REPLACE (made + to_minutes(made_offset) AS made) "
        "FROM makings WHERE picture IN ? "
        "ORDER BY newest DESC, makings.made DESC NULLS LAST, makings.rowid",
        [list(numbers)],
    )
    names = [column[0] for column in result.description or []]
    found: dict[int, list[Making]] = {}
    for row in result.fetchall():
        values = dict(zip(names, row, strict=True))
        found.setdefault(values.pop("picture"), []).append(_making_of(values))
    return found


def of_jobs(connection: duckdb.DuckDBPyConnection, jobs: Sequence[str]) -> dict[str, str]:
    """The ids of pictures that are not in the trash, by the `job` that their makings name."""
    rows = connection.execute(
        "SELECT extra->>'job' AS job, min(id) FROM makings JOIN pictures ON seq = picture "
        "WHERE extra IS NOT NULL AND job IN (SELECT unnest($1::VARCHAR[])) "
        "AND seq NOT IN (SELECT seq FROM deleted) GROUP BY job",
        [list(jobs)],
    ).fetchall()
    return dict(rows)


def _making_of(row: dict[str, object]) -> Making:
    extra, made, offset = row.pop("extra"), row.pop("made"), row.pop("made_offset")
    settings = settings_of({name: row.pop(name) for name in SETTINGS})
    return Making(
        **row,  # type: ignore[arg-type]
        made=zoned(made, offset),
        settings=settings,
        extra=json.loads(extra) if isinstance(extra, str) else {},
    )


def settings_of(row: Mapping[str, object]) -> dict[str, object]:
    """The settings that a row knows, by name."""
    found = {name: row[name] for name in SETTINGS if row[name] is not None}
    return {n: tuple(v) if isinstance(v, list) else v for n, v in found.items()}


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def is_same(making: Making, other: Making) -> bool:
    """Whether two makings tell of one recipe, whenever and however fast it was followed."""
    first, second = _row(0, making, newest=True), _row(0, other, newest=True)
    told = 2 + len(_SAME) + len(SETTINGS)
    return first[:told] == second[:told]


def _whole_seed(making: Making) -> int | None:
    """The seed, where the column can hold it: a producer's -1 for "any" is no seed."""
    return making.seed if making.seed is not None and 0 <= making.seed < 2**64 else None
