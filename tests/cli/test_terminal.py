"""On a terminal: what was said stays on the screen, whatever bars come and go below it."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

WIDTH = 400  # no line is broken
_PIECE = re.compile(r"\x1b\[([?\d;]*)([A-Za-z])|(.)", re.DOTALL)


def screen(written: str) -> list[str]:
    """The lines that stand there in the end, of a terminal that never scrolls."""
    lines, row, column = [""], 0, 0
    for number, order, letter in _PIECE.findall(written):
        if order == "A":
            row = max(0, row - int(number or 1))
        elif order == "K":
            lines[row] = ""
        elif letter == "\r":
            column = 0
        elif letter == "\n" or (letter and column >= WIDTH):
            row, column = row + 1, 0 if letter != "\n" else column
            lines += [""] * (row + 1 - len(lines))
        if letter and letter not in "\r\n":
            lines[row] = lines[row][:column].ljust(column) + letter + lines[row][column + 1 :]
            column += 1
    return [line.rstrip() for line in lines]


def shown(library: Path, *words: str) -> list[str]:
    """What a terminal shows once the program has run on it."""
    master, slave = pty.openpty()
    env = os.environ | {"COLUMNS": str(WIDTH), "TERM": "xterm", "SOVGEN_LIBRARY": str(library)}
    command = [sys.executable, "-m", "sovgen", *words]
    with subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=env) as program:
        os.close(slave)
        written = b""
        while piece := _read(master):
            written += piece
    os.close(master)
    assert program.returncode == 0, written.decode()
    return screen(written.decode())


def _read(master: int) -> bytes:
    try:
        return os.read(master, 65_536)
    except OSError:  # how Linux says that the other end is closed
        return b""


@pytest.mark.parametrize("verb", [("batch", "run"), ("generate",)], ids=" ".join)
def test_every_result_stays_on_the_screen(tmp_path: Path, verb: tuple[str, ...]) -> None:
    prompts = ["a red apple", "a house", "a tree"]
    (tmp_path / "plan.txt").write_text("\n".join(prompts))
    batch = verb[0] == "batch"
    plan = [str(tmp_path / "plan.txt"), "--set", "steps=2"]
    words = plan if batch else [*prompts, "--steps", "2"]
    lines = [line for line in shown(tmp_path / "library", *verb, *words) if line]
    results = lines[-3:]
    for prompt, line in zip(prompts, results, strict=True):
        assert prompt.replace(" ", "" if batch else "-") in line.replace(" ", ""), lines
        assert re.match(r"[0-9a-f]{16}\s" if batch else r"[a-z2-7]{8}  /", line), lines
    assert not any("steps/s" in line for line in lines)
