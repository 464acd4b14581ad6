"""Inspection: a library against the journals of those who wrote it, row by row and byte by byte.

Everything is read in one reader's turn, which makes a look cheap enough to take one at each kill.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import duckdb
import numpy as np

from index import Library, Query, catalogue, nearest, registered, selection, vectors
from index.places import places
from index.record import pixel_id
from index.thumbnails import thumbnail_path
from tests.crash.journal import Known, Line, State, fold, visible
from tests.index.conftest import picture
from tests.index.given import Given
from tests.index.oracle import NumpyVectors
from tests.index.rows import unit

_ids: dict[int, str] = {}


def id_of(number: int) -> str:
    if number not in _ids:
        _ids[number] = pixel_id(picture(number))
    return _ids[number]


def inspect(library: Library, numbers: set[int], encoder: type[Given] = Given) -> State:
    """What the library shows of these pictures, and of every set and search.

    Fails unless files are what their rows say, what is hidden is hidden, and search answers as the
    exact twin does.
    """
    by_id = {id_of(number): number for number in numbers}
    with library.store.reading() as connection:
        _check_files(connection, library)
        _check_vectors(connection, library, encoder)
        return State(
            _pictures(connection, library, by_id),
            _sets(connection, by_id),
            {
                name
                for (name,) in connection.execute("SELECT name FROM sets WHERE hidden").fetchall()
            },
            dict(connection.execute("SELECT name, query->>'text' FROM searches").fetchall()),
            registered.active(connection).name,
        )


def _pictures(
    connection: duckdb.DuckDBPyConnection, library: Library, by_id: dict[str, int]
) -> dict[int, Known]:
    """Of every picture that is numbered; fails where a hidden one is listed or has a thumbnail."""
    seqs = [seq for (seq,) in connection.execute("SELECT seq FROM library").fetchall()]
    listed = set(selection.newest(connection, Query(k=None)).tolist())
    known: dict[int, Known] = {}
    for entry in catalogue.entries(connection, library.root, seqs):
        assert (entry.seq in listed) != entry.hidden
        assert not (entry.hidden and thumbnail_path(entry.id, library.root).exists()), entry
        if entry.id in by_id:
            tags = {tag for tag in entry.tags if tag.startswith("hand-")}
            known[by_id[entry.id]] = Known(tags, entry.rating, entry.note, entry.caption)
    for (id,) in connection.execute("SELECT id FROM deleted WHERE NOT emptied").fetchall():
        if id in by_id:
            known[by_id[id]] = Known(deleted=True)
    return known


def _sets(connection: duckdb.DuckDBPyConnection, by_id: dict[str, int]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for (name,) in connection.execute("SELECT name FROM sets").fetchall():
        numbers = selection.newest(connection, Query(set=name, k=None)).tolist()
        ids = dict(
            connection.execute("SELECT seq, id FROM pictures WHERE seq IN ?", [numbers]).fetchall()
        )
        found[name] = [by_id[ids[number]] for number in numbers if ids[number] in by_id]
    return found


def _check_files(connection: duckdb.DuckDBPyConnection, library: Library) -> None:
    for place in places(connection, library.root):
        assert hashlib.sha256(place.path.read_bytes()).hexdigest() == place.file_sha256, place


def _check_vectors(
    connection: duckdb.DuckDBPyConnection, library: Library, kind: type[Given]
) -> None:
    twin = NumpyVectors()
    active = registered.active(connection)
    given = kind(active.name, active.width)
    ids = dict(connection.execute("SELECT seq, id FROM pictures").fetchall())
    numbers, rows = vectors.read(connection, active.fingerprint, "true", [])
    by_id = {id: number for number, id in _ids.items()}
    assert sorted(numbers.tolist()) == sorted(ids) and set(ids.values()) <= by_id.keys()
    for number, row in zip(numbers.tolist(), rows, strict=True):
        assert np.array_equal(row, given.encode_images([picture(by_id[ids[number]])])[0])
        twin.rows[number] = row
    passing = selection.passing(connection, Query())
    held = np.array(list(twin.rows), np.int64)
    alive = set(held[passing.mask(held)].tolist())
    for aim in unit(np.random.default_rng(1).normal(size=(3, given.width))):
        near = nearest.nearest(connection, library.root, active, aim, 10, passing)
        twin.check(near, aim, 10, alive)


def check(
    library: Library,
    done: Sequence[Line],
    pending: Sequence[Sequence[Line]] = (),
    encoder: type[Given] = Given,
) -> list[Line]:
    """Fail unless the library shows all that was acknowledged, and of the rest all or nothing.

    pending: what was under way, one sequence for each who was killed
    Returns what turned out to be done.
    """
    ways = [
        [*done, *(line for lines in chosen for line in lines)]
        for count in range(len(pending) + 1)
        for chosen in combinations(pending, count)
    ]
    states = [visible(fold(way)) for way in ways]
    shown = inspect(library, {n for state in states for n in state.pictures}, encoder)
    assert shown in states, (pending, shown, states)
    return ways[states.index(shown)]


def check_sources(library: Library, inbox: Path, line: Line) -> None:
    """A picture that was being moved is at one end at least."""
    if line.get("mode") == "move":
        held = {entry.id for entry in library.list(Query(k=None))}
        for number in line["numbers"]:
            assert id_of(number) in held or (inbox / f"{number}.png").exists(), line


def check_differences(
    library: Library, pending: Sequence[Line], kinds: str = "orphan", since: float = 0.0
) -> None:
    """Fail unless `verify` finds no more than what operations under way may leave.

    since: when they began; what was left before, and was then too young to be told, is not theirs
    """
    ends = [f"-{id_of(n)[:8]}.png" for line in pending for n in line.get("numbers", ())]
    ends += [name for line in pending for name in line.get("files", ())]
    found = library.verify()
    # whoever is killed while a file is written leaves its nameless beginning, and no more than one
    begun = [Path(d.where).stat().st_mtime for d in found if d.kind == "partial"]
    assert sum(moment >= since for moment in begun) <= len(pending), found
    for difference in found:
        assert difference.kind in kinds.split(), difference
        assert difference.kind != "orphan" or difference.where.endswith(tuple(ends)), difference
