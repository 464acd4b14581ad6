"""README says only what the program does: its commands and its Python are run as they stand."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
# The id that README shows; a run has other pixels, so the test puts a real one in its place.
SHOWN_ID = "4k7q"


def blocks(kind: str) -> Iterator[str]:
    yield from re.findall(rf"^```{kind}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """Every `$ sovgen …` line, without what is said behind a `#`."""
    lines = [line for block in blocks("console") for line in block.splitlines()]
    return [line[2:] for line in lines if line.startswith("$ sovgen")]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("readme")


def run(home: Path, *command: str) -> str:
    env = os.environ | {"SOVGEN_LIBRARY": str(home / "library"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=home, env=env, capture_output=True, text=True)
    assert done.returncode == 0, (command, done.stderr)
    return done.stdout


def test_every_command_shown_runs_in_the_order_shown(home: Path) -> None:
    assert len(commands()) >= 7
    shown = SHOWN_ID
    for line in commands():
        words = shlex.split(line.replace(SHOWN_ID, shown), comments=True)[1:]
        run(home, sys.executable, "-m", "sovgen", *words)
        if shown == SHOWN_ID:
            listed = json.loads(run(home, sys.executable, "-m", "sovgen", "list", "--json"))
            shown = listed[0]["id"][:12]
    assert list((home / "fruit-for-anna").iterdir())


def test_the_python_shown_runs(home: Path) -> None:
    [code] = blocks("python")
    assert len(code.strip().splitlines()) <= 12
    printed = run(home, sys.executable, "-c", code)
    made = [line.split()[0] for line in printed.splitlines() if ".png " in line]
    assert [Path(path).is_file() for path in made] == [True, True]


def test_both_commands_are_on_the_first_screen_and_in_the_makefile() -> None:
    first_screen = "\n".join(README.splitlines()[:24])
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in ("demo", "test"):
        assert f"$ make {target}" in first_screen
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_every_page_linked_is_there() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", README):
        assert (ROOT / target).exists(), target
