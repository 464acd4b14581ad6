"""What searches are owed is done by a process of its own, after the answer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from index import Library, Query, curate, upkeep
from index.encoder import load_encoder
from index.refresh import YOUNG_ROWS
from tests.index.boxes import ROOT
from tests.index.conftest import new
from tests.index.given import WIDTH, Given
from tests.index.rows import insert_rows, unit
from tests.index.test_meanings import learnt
from tests.index.test_vectors import has_sound_snapshot


@pytest.fixture
def due(library: Library) -> Library:
    """A library whose snapshot was never written."""
    count = YOUNG_ROWS + 1
    insert_rows(library, unit(np.random.default_rng(1).normal(size=(count, WIDTH))), [0] * count)
    return library


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Path]:
    """An interpreter that stands still until `let_go` is called."""
    fifo, held = tmp_path / "fifo", tmp_path / "python"
    os.mkfifo(fifo)
    held.write_text(f'#!/bin/sh\nread line < "{fifo}"\nexec "{sys.executable}" "$@"\n')
    held.chmod(0o700)
    yield held


def let_go(gate: Path) -> None:
    """Opening it to write waits until somebody stands there."""
    gate.with_name("fifo").write_text("go\n")


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> Callable[[Library], subprocess.Popen[bytes]]:
    monkeypatch.setattr(upkeep, "_begun", {})
    return lambda library: upkeep._begun[library.root][0]


def test_the_answer_is_there_before_anything_is_refreshed(
    due: Library,
    gate: Path,
    begun: Callable[[Library], subprocess.Popen[bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "executable", str(gate))
    query = Query("anything", k=5, everything=True)
    answer = due.search(query)
    assert len(answer.hits) == 5
    child = begun(due)
    assert child.poll() is None and not has_sound_snapshot(due)
    assert os.getsid(child.pid) == child.pid  # Ctrl-C does not reach it
    assert due.search(query) == answer
    assert begun(due) is child  # one at a time
    let_go(gate)
    assert child.wait() == 0
    assert has_sound_snapshot(due)
    assert [h.entry for h in due.search(query).hits] == [h.entry for h in answer.hits]


def test_a_program_prints_its_hits_and_ends_before_anything_is_refreshed(
    due: Library, gate: Path
) -> None:
    script = (
        "import sys; from index import Library, Query; from tests.index.given import Given\n"
        "library = Library.open(sys.argv[1], Given()); sys.executable = sys.argv[2]\n"
        "print(len(library.search(Query('anything', k=5, everything=True)).hits))"
    )
    command = [sys.executable, "-c", script, str(due.root), str(gate)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("5\n", "")
    assert not has_sound_snapshot(due)
    let_go(gate)
    assert due.refresh() or has_sound_snapshot(due)  # whoever is at work is waited for
    assert has_sound_snapshot(due)


def test_a_process_that_is_killed_costs_nothing(
    due: Library,
    begun: Callable[[Library], subprocess.Popen[bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SOVGEN_FAULT", "snapshot-written")
    assert due.search(Query("anything", k=5, everything=True)).hits
    assert begun(due).wait() == -signal.SIGKILL
    assert not has_sound_snapshot(due)
    assert not upkeep.begin(due.store)  # not at every question
    monkeypatch.delenv("SOVGEN_FAULT")
    assert due.refresh()
    assert has_sound_snapshot(due) and not due.refresh()


def test_nothing_is_begun_where_nothing_is_due(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "_begun", {})
    library.keep([new(0)])
    curate.note(library, [library.list(Query())[0].id], "of the sea")  # its encoder lies nowhere
    library.search(Query("anything", everything=True))
    assert upkeep._begun == {}


def test_what_is_noted_is_found_by_its_meaning_and_learnt(
    tmp_path: Path, begun: Callable[[Library], subprocess.Popen[bytes]]
) -> None:
    library = Library.create(tmp_path / "library", load_encoder())
    one, other = library.keep([new(0, prompt="a thing"), new(1, prompt="a thing")])
    curate.note(library, [one.id], "an apple")
    curate.tag(library, [other.id], ["violin"])
    assert "apple" not in learnt(library)
    (hit,) = library.search(Query("fruit")).hits
    assert (hit.entry.id, hit.words) == (one.id, {"fruit": "apple"})
    assert begun(library).wait() == 0
    assert learnt(library) >= {"apple", "violin"}
    assert library.search(Query("fruit")).hits[0].words == {"fruit": "apple"}
    assert not library.refresh()


def test_words_are_learnt_by_an_encoder_that_lies_nowhere_when_asked_to(library: Library) -> None:
    (entry,) = library.keep([new(0, prompt="a fox")])
    curate.note(library, [entry.id], "grandmother")
    assert library.refresh() and not library.refresh()
    assert "grandmother" in learnt(library)


def test_another_encoder_learns_nothing(library: Library) -> None:
    (entry,) = library.keep([new(0)])
    curate.note(library, [entry.id], "grandmother")
    with pytest.raises(Exception, match="not from"):
        upkeep.do(library.store, lambda: Given("other"))
