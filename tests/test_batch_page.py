"""docs/batch.md says only what the program does: its files and commands are used as they stand."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from sovgen.batch.template import parse

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "batch.md").read_text(encoding="utf-8")
PROMPTS = {
    "prompts.txt": "a red apple\n",
    "prompts.csv": "prompt,steps\na red apple,2\n",
    "prompts.jsonl": '{"prompt": "a red apple", "steps": 2}\n"a star"\n',
}


def block(kind: str) -> str:
    [found] = re.findall(rf"^```{kind}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


def commands() -> list[str]:
    return re.findall(r"^\$ sovgen (.*)$", PAGE, re.MULTILINE)


def test_every_command_shown_runs_in_the_order_shown(tmp_path: Path) -> None:
    files = PROMPTS | {"fruit.toml": block("toml"), "fruit.txt": block("text")}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    program = [sys.executable, "-m", "sovgen"]
    env = os.environ | {"SOVGEN_LIBRARY": str(tmp_path / "library"), "PYTHONPATH": str(ROOT)}
    told = {}
    for line in commands():
        words = [*program, *shlex.split(line)]
        done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True)
        assert done.returncode == 0, (line, done.stderr)
        told[line] = done.stdout.splitlines()
    assert len(told["batch run fruit.toml --dry-run"]) == 5 * 2
    assert [line.split("\t")[1] for line in told["batch run fruit.toml"]] == ["done"] * 10
    assert told["queue list"] == told["queue run"] == []


def test_every_choice_shown_becomes_what_is_shown() -> None:
    rows = re.findall(r"^\| `(.*\{.*)` \| (.*) \|$", PAGE, re.MULTILINE)
    assert len(rows) >= 3
    for written, becomes in rows:
        if written.startswith("\\"):
            continue
        template = parse(written.replace(r"\|", "|"), lambda name: ())
        found = [template.at(number) for number in range(template.count)]
        shown = re.findall("`(.*?)`", becomes)
        assert found[: len(shown)] == shown
