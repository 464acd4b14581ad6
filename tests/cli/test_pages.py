"""The pages of docs/ show commands that the program understands, and Python that runs."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs import understand

DOCS = Path(__file__).parent.parent.parent / "docs"
# Written by hand, each line of their blocks a command; the other pages are made or run elsewhere.
PAGES = ("models.md", "pictures.md")


def blocks(page: str, kind: str = "") -> list[str]:
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{kind}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


COMMANDS = [
    line
    for page in PAGES
    for block in blocks(page)
    for line in block.splitlines()
    if line.startswith("sovgen ")
]


@pytest.mark.parametrize("line", COMMANDS)
def test_command_shown_is_understood_by_the_parser(line: str) -> None:
    understand(shlex.split(line, comments=True)[1:])


def test_pages_show_enough() -> None:
    assert len(COMMANDS) >= 12


def test_python_shown_runs(tmp_path: Path, environ: dict[str, str]) -> None:
    [code] = blocks("pictures.md", "python")
    root = str(DOCS.parent)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environ | {"PYTHONPATH": root},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    path, init = done.stdout.split()
    assert (tmp_path / path).is_file() and len(init) == 52
