"""search, list, show: what is printed, in each form."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import pytest

from index import Library, Query
from tests.cli.conftest import PROMPTS, Cli, Program

CONTRACT = {"id", "path", "seed", "prompt", "model"}


def test_json_is_one_array_with_the_promised_keys(cli: Cli, drawn: Path) -> None:
    listed = json.loads(cli(drawn, "list", "--json").stdout)
    found = json.loads(cli(drawn, "search", "fruit", "--all", "--json").stdout)
    assert sorted(e["prompt"] for e in listed) == sorted(PROMPTS)
    assert all(set(e) >= CONTRACT for e in listed)
    assert all(set(e) >= CONTRACT | {"score", "tags"} for e in found)
    assert all(os.path.isabs(e["path"]) and os.path.isfile(e["path"]) for e in listed + found)
    scores = [e["score"] for e in found]
    assert scores == sorted(scores, reverse=True)


def test_paths_are_one_a_line_and_nothing_else(cli: Cli, drawn: Path) -> None:
    lines = cli(drawn, "list", "--paths").stdout.splitlines()
    assert sorted(lines) == sorted(map(str, (drawn / "pictures").rglob("*.png")))


def test_piped_lines_have_stable_columns(cli: Cli, drawn: Path) -> None:
    rows = [line.split("\t") for line in cli(drawn, "list").stdout.splitlines()]
    entries = Library.open(drawn).list(Query(k=None))
    assert rows == [[e.id, "-", str(e.seed), e.model, e.prompt, str(e.path)] for e in entries]
    [row] = [
        line.split("\t")
        for line in cli(drawn, "search", "x", "--all", "-k1").stdout.split("\n")
        if line
    ]
    assert float(row[1]) <= 1


def on_terminal(columns: int, environ: dict[str, str], *words: str) -> str:
    """What a person sees who runs the program in a terminal of so many columns."""
    ours, theirs = pty.openpty()
    env = environ | {"COLUMNS": str(columns), "TERM": "dumb"}
    command = [sys.executable, "-m", "sovgen", *words]
    with subprocess.Popen(command, env=env, stdout=theirs, stderr=subprocess.PIPE) as process:
        os.close(theirs)
        seen = b""
        while chunk := _read(ours):
            seen += chunk
    os.close(ours)
    assert process.returncode == 0
    return seen.decode()


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # the other end is closed
        return b""


def test_a_terminal_gets_a_table_that_fits(drawn: Path, environ: dict[str, str]) -> None:
    seen = on_terminal(60, environ, "--library", str(drawn), "list")
    lines = seen.splitlines()
    assert lines[0].split() == ["id", "score", "seed", "model", "prompt"]
    assert len(lines) == 1 + len(PROMPTS)
    assert all(len(line) <= 60 for line in lines)
    assert "\t" not in seen


def test_text_from_a_file_cannot_drive_the_terminal(
    cli: Cli, library: Path, tmp_path: Path
) -> None:
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    told = PngInfo()
    told.add_text("parameters", "evil \x1b[2J\x07 [bold]cat\t!\nSteps: 3, Seed: 5, Size: 8x8")
    Image.new("RGB", (8, 8), "teal").save(tmp_path / "evil.png", pnginfo=told)
    assert cli(library, "add", tmp_path / "evil.png").exit_code == 0
    shown = cli(library, "list", "--where", "seed = 5").stdout
    assert "\x1b" not in shown and "\x07" not in shown
    assert shown.count("\t") == 5
    assert "[bold]cat" in shown


def test_filters_narrow(cli: Cli, drawn: Path) -> None:
    def prompts(*words: str) -> list[str]:
        done = cli(drawn, "list", "--json", *words)
        assert done.exit_code == 0, done.stderr
        return [e["prompt"] for e in json.loads(done.stdout)]

    today, tomorrow = date.today(), date.today() + timedelta(1)
    assert prompts("--where", "prompt LIKE '%star%'") == ["a yellow star"]
    assert len(prompts("--since", today.isoformat(), "--until", today.isoformat())) == 3
    assert prompts("--since", tomorrow.isoformat()) == []
    assert len(prompts("--model", "sovgen-mini")) == 3
    assert prompts("--model", "another") == []
    assert prompts("--tag", "no such tag") == []
    assert len(prompts("-k", "2")) == 2


def test_newest_comes_first(cli: Cli, drawn: Path) -> None:
    listed = json.loads(cli(drawn, "list", "--json").stdout)
    assert [e["prompt"] for e in listed] == list(reversed(PROMPTS))


def test_nonsense_says_that_nothing_matches_and_all_shows_the_rest(cli: Cli, drawn: Path) -> None:
    done = cli(drawn, "search", "xqzv blorptag wug", "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout) == []
    assert done.stderr == "Nothing matches well; --all shows the rest.\n"
    everything = json.loads(cli(drawn, "search", "xqzv blorptag wug", "--all", "--json").stdout)
    assert len(everything) == 3


def test_like_takes_an_id_or_a_file(cli: Cli, drawn: Path) -> None:
    first = Library.open(drawn).list(Query(k=1))[0]
    for like in (first.id[:8], first.path):
        hits = json.loads(cli(drawn, "search", "--like", like, "--json", "--all").stdout)
        assert hits[0]["id"] == first.id
        assert hits[0]["score"] == pytest.approx(1, abs=1e-3)


def test_show_tells_all_by_the_beginning_of_an_id(cli: Cli, drawn: Path) -> None:
    entry = Library.open(drawn).list(Query(k=1))[0]
    known = json.loads(cli(drawn, "show", entry.id[:6].upper(), "--json").stdout)
    assert known["id"] == entry.id and known["steps"] == 2
    lines = cli(drawn, "show", entry.id[:6]).stdout.splitlines()
    assert f"prompt {entry.prompt}" in [" ".join(line.split()) for line in lines]


def test_a_closed_pipe_ends_quietly(drawn: Path, environ: dict[str, str]) -> None:
    command = f"{sys.executable} -m sovgen list --json | head -c 1"
    env = environ | {"SOVGEN_LIBRARY": str(drawn)}
    done = subprocess.run(command, shell=True, env=env, capture_output=True, text=True)
    assert done.stdout == "["
    assert done.stderr == ""


def test_a_name_that_is_not_utf8_is_printed_as_its_bytes(
    sovgen: Program, library: Path, tmp_path: Path, environ: dict[str, str]
) -> None:
    from PIL import Image

    odd = os.fsencode(tmp_path) + b"/caf\xe9.png"
    Image.new("RGB", (9, 9), "olive").save(os.fsdecode(odd))
    command = [sys.executable, "-m", "sovgen", "--library", str(library)]
    subprocess.run([*command, "add", "--in-place", odd], env=environ, check=True)
    listed = subprocess.run([*command, "list", "--paths"], env=environ, capture_output=True)
    assert odd in listed.stdout.splitlines()
    assert subprocess.run([*command, "list"], env=environ, capture_output=True).returncode == 0
    known = subprocess.run([*command, "list", "--json"], env=environ, capture_output=True)
    assert os.fsdecode(odd) in [e["path"] for e in json.loads(known.stdout)]
