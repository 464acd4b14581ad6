"""Turns: first come, first served; readers together, writers alone; the dead hold nobody up."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from index.errors import LibraryBusy
from index.turns import Turns

PATIENCE_S = 30.0


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that must happen; fail when it does not."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.001)


def tickets(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*-[rw]"))


@pytest.fixture
def turns(tmp_path: Path) -> Turns:
    return Turns(tmp_path, PATIENCE_S)


def queue_up(turns: Turns, folder: Path, kinds: str, order: list[str]) -> list[threading.Thread]:
    """Threads that wait for a turn, each surely behind the one before."""
    threads = []
    for number, kind in enumerate(kinds):

        def wait(name: str = f"{number}{kind}", kind: str = kind) -> None:
            with turns.take(kind):  # type: ignore[arg-type]
                order.append(name)

        before = len(tickets(folder))
        threads.append(threading.Thread(target=wait))
        threads[-1].start()
        until(lambda before=before: len(tickets(folder)) == before + 1)
    return threads


def test_writers_go_one_by_one_in_the_order_in_which_they_came(
    turns: Turns, tmp_path: Path
) -> None:
    order: list[str] = []
    with turns.take("w"):
        threads = queue_up(turns, tmp_path, "wwwww", order)
        assert order == []
    for thread in threads:
        thread.join(PATIENCE_S)
    assert order == ["0w", "1w", "2w", "3w", "4w"]
    assert tickets(tmp_path) == []


def test_no_reader_overtakes_a_waiting_writer(turns: Turns, tmp_path: Path) -> None:
    order: list[str] = []
    with turns.take("r"):
        threads = queue_up(turns, tmp_path, "wrr", order)
        assert order == []
    for thread in threads:
        thread.join(PATIENCE_S)
    assert order[0] == "0w" and sorted(order[1:]) == ["1r", "2r"]


def test_readers_are_in_together(turns: Turns) -> None:
    together = threading.Barrier(3, timeout=PATIENCE_S)

    def read() -> None:
        with turns.take("r"):
            together.wait()

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert not together.broken


def test_writers_in_many_threads_never_meet(turns: Turns) -> None:
    inside, met = [], []

    def write() -> None:
        for _ in range(20):
            with turns.take("w"):
                inside.append(1)
                met.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=write) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert met == [1] * 120


def test_the_ticket_of_a_killed_process_is_swept_away(turns: Turns, tmp_path: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from index.turns import Turns\n"
        "with Turns(Path(sys.argv[1]), 9).take('w'): os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert tickets(tmp_path) == ["1-w"]
    with turns.take("w"):
        assert tickets(tmp_path) == ["2-w"]


def test_whoever_waits_for_a_process_that_is_killed_goes_on(turns: Turns, tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from index.turns import Turns\n"
        "with Turns(Path(sys.argv[1]), 9).take('w'): time.sleep(99)"
    )
    order: list[str] = []
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)]) as holder:
        until(lambda: tickets(tmp_path) == ["1-w"])
        threads = queue_up(turns, tmp_path, "rw", order)
        assert order == []
        holder.kill()
        for thread in threads:
            thread.join(PATIENCE_S)
    assert order == ["0r", "1w"] and tickets(tmp_path) == []


def test_patience_ends_with_one_clear_error_and_leaves_no_ticket(tmp_path: Path) -> None:
    errors: list[LibraryBusy] = []

    def try_to_write() -> None:
        try:
            with Turns(tmp_path, 0.05).take("w"):
                pass
        except LibraryBusy as error:
            errors.append(error)

    with Turns(tmp_path, PATIENCE_S).take("r"):
        thread = threading.Thread(target=try_to_write)
        thread.start()
        thread.join(PATIENCE_S)
        assert tickets(tmp_path) == ["1-r"]
    assert "locked by others" in errors[0].message and errors[0].hint


def test_a_thread_that_would_wait_for_itself_is_told_so(turns: Turns) -> None:
    with turns.take("r"), pytest.raises(RuntimeError, match="already"), turns.take("w"):
        pass
    with turns.take("w"):
        pass
