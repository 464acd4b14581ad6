"""Crashes: kill -9 at random instants loses nothing acknowledged, and leaves nothing half done.

`SOVGEN_SOAK` is how many times several writers are killed; 20 without it. Kills at every named
point are in test_points.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from index import Library, Query
from tests.crash.inspection import check as check_states
from tests.crash.inspection import check_differences, check_sources
from tests.crash.journal import Line, read
from tests.crash.operations import LAID, Coarse, lay
from tests.crash.processes import CONTEXT, KILLED, ended, start
from tests.crash.worker import work
from tests.index.conftest import new
from tests.index.given import Given

ROUNDS = int(os.environ.get("SOVGEN_SOAK", "20"))
WRITERS = 3


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return Library.create(tmp_path / "library", Given()).root


def check(root: Path, done: list[Line], *journals: Path, since: float = 0.0) -> list[Line]:
    """Open what the killed left, hold it against their journals, and let repair finish.

    done: what was known to be done before; returns what is done now
    since: when they began
    """
    library = Library.open(root, Given())
    pending = []
    for path in journals:
        lines, under_way = read(path)
        done = [*done, *lines]
        pending += [under_way] if under_way else []
        check_sources(library, path.with_suffix(".inbox"), under_way or {})
    done = check_states(library, done, [[line] for line in pending])
    check_differences(library, pending, "orphan partial", since)
    assert Library.repair(root, Given()).left == []
    return done


def test_kills_at_random_instants_among_several_writers(root: Path, tmp_path: Path) -> None:
    chance, done = random.Random(ROUNDS), list[Line]()
    for round in range(ROUNDS):
        firsts, now = [(round * WRITERS + n) * 100 for n in range(WRITERS)], time.time()
        journals = [tmp_path / f"journal-{first}" for first in firsts]
        begun = [CONTEXT.Event() for _ in firsts]
        workers = [
            start(work, root, path, first, 30, first, each)
            for path, first, each in zip(journals, firsts, begun, strict=True)
        ]
        for each in begun:
            assert each.wait(60)
        for worker in chance.sample(workers, WRITERS):
            worker.join(chance.uniform(0, 0.8))
            worker.kill()
        assert {ended(worker) for worker in workers} <= {KILLED, 0}
        done = check(root, done, *journals, since=now)
    print(
        f"{ROUNDS} rounds of {WRITERS} writers killed at random instants: "
        f"{len(done)} operations were done, and nothing was lost"
    )


def test_a_writer_beside_a_killed_one_never_notices(root: Path, tmp_path: Path) -> None:
    """The ticket and the log of the killed are in nobody's way."""
    done: list[Line] = []
    for turn, point in enumerate(("committing", "committed", "journaled"), 1):
        first = 1000 * turn
        journals = [tmp_path / f"victim-{turn}", tmp_path / f"bystander-{turn}"]
        victim = start(work, root, journals[0], first, 500, first, fault=f"{point}:{2 * turn}")
        bystander = start(work, root, journals[1], first + 500, 4, first)
        assert (ended(victim), ended(bystander)) == (KILLED, 0)
        done = check(root, done, *journals)
    Library.open(root, Given()).keep([new(1)])
    check_states(Library.open(root, Given()), [*done, {"op": "keep", "numbers": [1]}])


def test_the_check_itself_finds_what_was_lost(tmp_path: Path) -> None:
    """A harness that cannot fail proves nothing: each kind of loss must be seen."""
    lay(tmp_path)
    library = Library.open(tmp_path / "library", Coarse())
    for loss in LOSSES:
        undo = loss(library)
        with pytest.raises((AssertionError, FileNotFoundError)):
            check_states(library, LAID, (), Coarse)
        undo()
        check_states(library, LAID, (), Coarse)


def change(library: Library, there: str, back: str) -> Callable[[], None]:
    def run(statement: str) -> None:
        with library.store.writing() as connection:
            connection.execute(statement)

    run(there)
    return lambda: run(back)


def lose_a_picture(library: Library) -> Callable[[], None]:
    return change(
        library,
        "UPDATE pictures SET id = 'lost' || id WHERE seq = 1",
        "UPDATE pictures SET id = substr(id, 5) WHERE seq = 1",
    )


def forget_a_tag(library: Library) -> Callable[[], None]:
    return change(
        library,
        "UPDATE tags SET tag = 'lost' || tag WHERE source = 'hand'",
        "UPDATE tags SET tag = substr(tag, 5) WHERE source = 'hand'",
    )


def bury_a_picture(library: Library) -> Callable[[], None]:
    return change(
        library,
        "INSERT INTO deleted SELECT seq, id, '2026-01-01', false FROM pictures "
        "WHERE seq NOT IN (SELECT seq FROM deleted)",
        "DELETE FROM deleted WHERE deleted = '2026-01-01'",
    )


def mislay_a_vector(library: Library) -> Callable[[], None]:
    table = f"vectors_{Coarse().fingerprint[:16]}"
    turn = f"UPDATE {table} SET picture = -picture WHERE picture"
    return change(library, f"{turn} = 1", f"{turn} = -1")


def swap_two_in_a_set(library: Library) -> Callable[[], None]:
    swap = "UPDATE set_members SET position = 1000 - position"
    return change(library, swap, swap)


def lose_a_file(library: Library) -> Callable[[], None]:
    path = library.list(Query(k=1))[0].path
    path.rename(path.with_suffix(".away"))
    return lambda: void(path.with_suffix(".away").rename(path))


def flip_a_bit_of_a_file(library: Library) -> Callable[[], None]:
    path = library.list(Query(k=1))[0].path
    data = path.read_bytes()
    path.write_bytes(data[:-5] + bytes([data[-5] ^ 1]) + data[-4:])
    return lambda: void(path.write_bytes(data))


def void(_: object) -> None:
    """Makes a lambda that writes return nothing."""


LOSSES = (
    lose_a_picture,
    forget_a_tag,
    bury_a_picture,
    mislay_a_vector,
    swap_two_in_a_set,
    lose_a_file,
    flip_a_bit_of_a_file,
)
