"""Inspection: a library against the journals of those who wrote it, row by row and byte by byte."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from index import Library, Query, curate, registered, selection, vectors
from index.record import pixel_id
from tests.crash.journal import Known, Line, State, fold, read
from tests.index.conftest import picture
from tests.index.given import Given
from tests.index.oracle import NumpyVectors
from tests.index.rows import unit

_ids: dict[int, str] = {}


def id_of(number: int) -> str:
    if number not in _ids:
        _ids[number] = pixel_id(picture(number))
    return _ids[number]


def observed(library: Library, numbers: Iterable[int], chosen: str) -> State:
    """The state of these pictures and of one set, as the library tells it."""
    entries = {entry.id: entry for entry in library.list(Query(k=None))}
    trashed = {gone.id for gone in library.trashed()}
    state = State()
    for number in numbers:
        entry = entries.get(id_of(number))
        if entry is not None:
            tags = {tag for tag in entry.tags if tag.startswith("hand-")}
            state.pictures[number] = Known(tags, entry.rating)
        elif id_of(number) in trashed:
            state.pictures[number] = Known(deleted=True)
    by_id = {id_of(number): number for number in numbers}
    if chosen in {each.name for each in curate.list_sets(library)}:
        members = library.list(Query(set=chosen, k=None))
        state.chosen = [by_id[entry.id] for entry in members]
    return state


def visible(state: State) -> State:
    """What of a state can be seen: not what was said of deleted pictures."""
    pictures = {n: Known(deleted=True) if k.deleted else k for n, k in state.pictures.items()}
    return State(pictures, [n for n in state.chosen if not state.pictures[n].deleted])


def check_worker(library: Library, journal: Path, first: int) -> list[Line]:
    """Fail unless the library shows all that was acknowledged, and of the rest all or nothing.

    Returns the operation that was under way, if any.
    """
    done, under_way = read(journal)
    pending = [under_way] if under_way else []
    states = [visible(fold(done)), visible(fold([*done, *pending]))]
    numbers = sorted(set(fold([*done, *pending]).pictures) | set(fold(done).pictures))
    assert observed(library, numbers, f"set-{first}") in states, (pending, numbers)
    for line in pending:
        _check_sources(library, journal.with_suffix(".inbox"), line)
    return pending


def _check_sources(library: Library, inbox: Path, line: Line) -> None:
    """A picture that was being moved is at one end at least."""
    if line.get("mode") == "move":
        held = {entry.id for entry in library.list(Query(k=None))}
        for number in line["numbers"]:
            assert id_of(number) in held or (inbox / f"{number}.png").exists(), line


def check_whole(library: Library, pending: Sequence[Line]) -> None:
    """Fail unless rows, files and vectors agree, and search answers as the exact twin does."""
    known = {number for line in pending for number in line.get("numbers", ())}
    for difference in library.verify():
        if difference.kind == "snapshot" and {"op": "empty"} in pending:
            continue  # it still holds what was emptied, which the next search sees and mends
        assert difference.kind == "orphan", difference
        assert any(difference.where.endswith(f"-{id_of(n)[:8]}.png") for n in known), difference
    entries = {entry.seq: entry for entry in library.list(Query(k=None))}
    for entry in entries.values():
        assert hashlib.sha256(entry.path.read_bytes()).hexdigest() == entry.file_sha256
    _check_vectors(library)


def _check_vectors(library: Library) -> None:
    given, twin = Given(), NumpyVectors()
    with library.store.reading() as connection:
        active = registered.active(connection)
        ids = dict(connection.execute("SELECT seq, id FROM pictures").fetchall())
        numbers, rows = vectors.read(connection, active.fingerprint, "true", [])
        by_id = {id: number for number, id in _ids.items()}
        assert sorted(numbers.tolist()) == sorted(ids)
        for number, row in zip(numbers.tolist(), rows, strict=True):
            assert np.array_equal(row, given.vector(picture(by_id[ids[number]]).tobytes()))
            twin.rows[number] = row
        passing = selection.passing(connection, Query())
        numbers = np.array(list(twin.rows), np.int64)
        alive = set(numbers[passing.mask(numbers)].tolist())
        for aim in unit(np.random.default_rng(1).normal(size=(5, given.width))):
            near = vectors.nearest(connection, library.root, active, aim, 10, passing)
            twin.check(near, aim, 10, alive)
