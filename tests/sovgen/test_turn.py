"""Turns: one process at a time, in line, whoever is killed; and never in the way of itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sovgen.turn import is_wanted, taken, turn, where_free
from tests.index.boxes import ROOT

# Comes in so many times, and writes down when it is in and when it is out again.
VISITOR = """
import os, sys
from sovgen.turn import turn
name, times = sys.argv[1], int(sys.argv[2])
log = os.open(sys.argv[3], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
for _ in range(times):
    with turn("cpu", lambda text: print(text, flush=True)):
        os.write(log, f"{name} in\\n".encode())
        print("in", flush=True)
        if len(sys.argv) > 4:
            sys.stdin.readline()
        os.write(log, f"{name} out\\n".encode())
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOVGEN_CACHE", str(tmp_path / "cache"))


def visit(name: str, times: int, log: Path, *asks: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", VISITOR, name, str(times), str(log), *asks],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def line(process: subprocess.Popen[str], say: str = "") -> str:
    """What it says next, once it has been told something."""
    assert process.stdin and process.stdout
    process.stdin.write(say)
    process.stdin.flush()
    return process.stdout.readline().strip()


def test_no_two_processes_are_in_at_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    visitors = [visit(name, 4, log) for name in "abc"]
    for visitor in visitors:
        visitor.communicate()
        assert visitor.returncode == 0
    lines = log.read_text().splitlines()
    assert len(lines) == 2 * 3 * 4
    for entered, left in zip(lines[::2], lines[1::2], strict=True):
        assert entered.split()[0] == left.split()[0]


def test_whoever_waits_says_so_in_one_line_and_comes_before_the_one_before(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with visit("first", 2, log, "asks") as first:
        assert line(first) == "in"
        with visit("second", 1, log, "asks") as second:
            assert line(second) == "Waiting: another run is drawing on cpu."
            assert line(first, "go\n") == "Waiting: another run is drawing on cpu."
            assert line(second) == "in"
            assert line(second, "go\n") == ""
        assert line(first) == "in"
        first.communicate("go\n")
    names = [entry.split()[0] for entry in log.read_text().splitlines()]
    assert names == ["first", "first", "second", "second", "first", "first"]


def test_a_killed_one_is_not_waited_for(tmp_path: Path) -> None:
    with visit("killed", 1, tmp_path / "log", "asks") as killed:
        assert line(killed) == "in"
        killed.kill()
    told: list[str] = []
    with turn("cpu", told.append):
        assert told == []


def test_a_device_is_wanted_while_another_stands_in_the_door(tmp_path: Path) -> None:
    with turn("cpu"):
        assert not is_wanted("cpu")
        waiting = visit("other", 1, tmp_path / "log")
        assert line(waiting) == "Waiting: another run is drawing on cpu."
        assert is_wanted("cpu") and not is_wanted("cuda")
    assert waiting.communicate()[0] == "in\n"
    assert not is_wanted("cpu")


def test_a_process_never_waits_for_itself_nor_for_another_device() -> None:
    told: list[str] = []
    with turn("cuda", told.append), turn("cuda:0", told.append), turn("cpu", told.append):
        assert told == []
    with turn("cuda:0", told.append):
        assert told == []


def test_where_no_lock_can_be_had_it_is_said_and_drawing_goes_on(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("no folder")
    told: list[str] = []
    with turn("cpu", told.append):
        assert len(told) == 1 and "not waited for" in told[0]


def test_a_place_is_free_unless_somebody_has_it_and_looking_makes_no_file(tmp_path: Path) -> None:
    place = tmp_path / "locks" / "queue"
    with where_free(place) as free:
        assert free and not place.parent.exists()
    with taken(place, "is there"):
        with where_free(place) as free:
            assert not free
    with where_free(place) as free, where_free(place) as twice:
        assert free and not twice
