"""Crashes: kill -9 anywhere loses nothing that was acknowledged, and leaves nothing half done.

`SOVGEN_SOAK` is how many times several writers are killed at random instants; 6 without it.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from index import Library
from index.refresh import refresh
from tests.crash.inspection import check_whole, check_worker
from tests.index.boxes import ROOT
from tests.index.conftest import new
from tests.index.given import Given

ROUNDS = int(os.environ.get("SOVGEN_SOAK", "6"))
WRITERS = 3
# A point, and at which passage to die. Where the worker's operations do not lead, tests do:
# "migrating" in test_migrations, "reembedded" and "switching" in test_reembed.
POINTS = (
    "placing:1",
    "placing:4",
    "placed:3",
    "committing:2",
    "committing:7",
    "committed:2",
    "committed:7",
    "journaled:4",
    "carrying:1",
    "snapshot-written:1",
    "snapshot-published:1",
)


def start(root: Path, journal: Path, first: int, count: int, **options: object) -> subprocess.Popen:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    if "fault" in options:
        environment["SOVGEN_FAULT"] = str(options["fault"])
    seed, empties = options.get("seed", first), "yes" if options.get("empties") else "no"
    arguments = [root, journal, first, count, seed, empties]
    return subprocess.Popen(
        [sys.executable, "-m", "tests.crash.worker", *map(str, arguments)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    library = Library.create(tmp_path / "library", Given())
    return library.root


def check(root: Path, journals: dict[Path, int]) -> None:
    """Open what the killed left, hold it against their journals, and let repair finish."""
    library = Library.open(root, Given())
    pending = [
        line for path, first in journals.items() for line in check_worker(library, path, first)
    ]
    check_whole(library, pending)
    repaired = Library.repair(root, Given())
    assert repaired.left == []
    refresh(library.store, force=True)
    check_whole(library, [])


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_at_a_named_point(root: Path, tmp_path: Path, point: str) -> None:
    """One writer dies there; another, at work beside it, never notices."""
    journals = {tmp_path / "victim": 1000, tmp_path / "bystander": 2000}
    victim = start(root, tmp_path / "victim", 1000, 500, fault=point)
    bystander = start(root, tmp_path / "bystander", 2000, 5)
    with victim, bystander:
        assert victim.wait() == -9, "the point was never reached"
        assert bystander.wait() == 0
    check(root, journals)
    library = Library.open(root, Given())
    assert library.keep([new(1)])[0].path.is_file()


@pytest.mark.parametrize("turn", [1, 2])
def test_a_kill_while_the_trash_is_emptied(root: Path, tmp_path: Path, turn: int) -> None:
    journal = tmp_path / "journal"
    with start(root, journal, 1000, 500, fault=f"emptying:{turn}", empties=True) as worker:
        assert worker.wait() == -9, "the point was never reached"
    check(root, {journal: 1000})


def test_kills_at_random_instants_among_several_writers(root: Path, tmp_path: Path) -> None:
    chance = random.Random(ROUNDS)
    for round in range(ROUNDS):
        firsts = [(round * WRITERS + n) * 100 for n in range(WRITERS)]
        journals = {tmp_path / f"journal-{first}": first for first in firsts}
        workers = [start(root, path, first, 30) for path, first in journals.items()]
        try:
            for worker in workers:
                assert worker.stdout and worker.stdout.readline() == "ready\n"
            for worker in chance.sample(workers, len(workers)):
                let_live(worker, chance.uniform(0, 0.8))
                worker.kill()
        finally:
            for worker in workers:
                worker.kill()
                worker.communicate()
        check(root, journals)
    print(f"{ROUNDS} rounds of {WRITERS} writers killed at random instants: nothing was lost")


def let_live(worker: subprocess.Popen, seconds: float) -> None:
    """Give a worker some time; how much it does in it is the chance that this test is about."""
    try:
        worker.wait(seconds)
    except subprocess.TimeoutExpired:
        return


def test_the_check_itself_finds_what_was_lost(root: Path, tmp_path: Path) -> None:
    """A harness that cannot fail proves nothing: each kind of loss must be seen."""
    journal = tmp_path / "journal"
    with start(root, journal, 0, 12, seed=3) as worker:
        assert worker.wait() == 0
    check(root, {journal: 0})
    library = Library.open(root, Given())
    for loss in LOSSES:
        undo = loss(library)
        with pytest.raises(AssertionError):
            check(root, {journal: 0})
        undo()
        check_worker(library, journal, 0)


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


LOSSES = (lose_a_picture, forget_a_tag, bury_a_picture)
