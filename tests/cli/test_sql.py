"""sql: questions in a process of their own, which can always be ended."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from index import BadQuery
from sovgen.sql import asked
from tests.cli.conftest import PROMPTS, Cli
from tests.docs import SQL_PAGE, sql_page

ENDLESS = "SELECT count(*) FROM range(10000000) a, range(10000000) b WHERE a.range + b.range = 7"
WIDE = "SELECT DATE '2026-01-02' d, 1.5::DECIMAL(9,2) n, [1, NULL] l, {'a': 'x'} s, 'nan'::DOUBLE f"


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that ended and was not collected does not."""
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def answering(pid: int) -> int | None:
    """The process under one that has begun to answer: DuckDB is loaded there."""
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        is_spawned = "spawn_main" in Path(f"/proc/{child}/cmdline").read_text()
        if is_spawned and "duckdb" in Path(f"/proc/{child}/maps").read_text():
            return int(child)
    return None


def test_rows_come_as_tabs_or_as_json(cli: Cli, drawn: Path) -> None:
    question = "SELECT prompt, steps, sets, rating FROM library ORDER BY prompt"
    done = cli(drawn, "sql", question)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines() == [f"{p}\t2\t-\t-" for p in sorted(PROMPTS)]
    found = json.loads(cli(drawn, "sql", question, "--json").stdout)
    assert found[0] == {"prompt": min(PROMPTS), "steps": 2, "sets": [], "rating": None}


def test_json_holds_whatever_duckdb_gives(cli: Cli, drawn: Path) -> None:
    [found] = json.loads(cli(drawn, "sql", WIDE, "--json").stdout)
    assert found == {"d": "2026-01-02", "n": "1.50", "l": [1, None], "s": {"a": "x"}, "f": "nan"}
    assert json.loads(cli(drawn, "sql", "SELECT 1 WHERE false", "--json").stdout) == []
    assert json.loads(cli(drawn, "sql", "SELECT 1 a, 2 a", "--json").stdout) == [{"a": 1, "a_2": 2}]


def test_text_cannot_drive_the_terminal(cli: Cli, drawn: Path) -> None:
    assert (
        cli(drawn, "sql", "SELECT chr(27) || '[31mred' || chr(10) || 'x'").stdout == " [31mred x\n"
    )


@pytest.mark.parametrize("statement", ["DROP TABLE library", "SELECT nothing FROM library", ""])
def test_what_is_refused_is_told_in_two_lines(cli: Cli, drawn: Path, statement: str) -> None:
    done = cli(drawn, "sql", statement)
    assert done.exit_code == 1 and done.stdout == ""
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == ["Error", "Hint"]


def test_a_question_that_takes_too_long_is_stopped(drawn: Path) -> None:
    with pytest.raises(BadQuery, match=r"longer than 0\.5 s"), asked(drawn, ENDLESS, 0.5):
        raise AssertionError("there is no answer")
    assert multiprocessing.active_children() == []


def test_a_process_that_dies_is_told(drawn: Path) -> None:
    with asked(drawn, "SELECT * FROM range(100000000)", 60) as answer:
        next(answer.rows)
        [process] = multiprocessing.active_children()
        process.kill()
        with pytest.raises(BadQuery, match="died"):
            list(answer.rows)


def test_the_process_holds_neither_the_library_nor_a_socket(drawn: Path) -> None:
    with asked(drawn, "SELECT * FROM range(100000000)", 60):
        [process] = multiprocessing.active_children()
        assert process.pid is not None
        opened = [os.readlink(f) for f in Path(f"/proc/{process.pid}/fd").iterdir()]
    assert not [f for f in opened if str(drawn) in f or f.startswith("socket")]


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGKILL])
def test_it_ends_with_the_command(drawn: Path, environ: dict[str, str], sign: int) -> None:
    command = [sys.executable, "-m", "sovgen", "--library", str(drawn), "sql", ENDLESS]
    running = subprocess.Popen(
        command, env=environ, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 60
    while (under := answering(running.pid)) is None:
        assert running.poll() is None and time.monotonic() < deadline
    if sign == signal.SIGINT:  # as a terminal does: to everybody in front of it
        os.killpg(running.pid, sign)
    else:
        os.kill(running.pid, sign)
    said = running.communicate(timeout=60)[1]
    while is_alive(under):
        assert time.monotonic() < deadline
    assert running.returncode == (130 if sign == signal.SIGINT else -sign)
    assert "Traceback" not in said


def test_the_page_of_views_is_what_the_schema_says() -> None:
    assert SQL_PAGE.read_text(encoding="utf-8") == sql_page(), "run: make docs"
