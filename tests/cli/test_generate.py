"""generate, remake: from words on a command line to pictures that are kept."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
import torch

from index import Library, Query
from index.record import read_picture
from tests import tiny
from tests.cli.conftest import Cli, Program

TWO_STEPS = ("--steps", "2")


def made(done: object) -> list[dict[str, object]]:
    assert done.exit_code == 0, done.stderr  # type: ignore[attr-defined]
    return json.loads(done.stdout)  # type: ignore[attr-defined, no-any-return]


def test_pictures_are_files_named_by_prompt_seed_and_id(drawn: Path) -> None:
    for entry in Library.open(drawn).list(Query(k=None)):
        day = entry.added.astimezone().strftime("%Y/%m/%d")
        slug = (entry.prompt or "").replace(" ", "-")
        name = f"pictures/{day}/{slug}-{entry.seed}-{entry.id[:8]}.png"
        assert entry.path == drawn / name
        assert read_picture(entry.path)[0].id == entry.id
        assert stat.S_IMODE(entry.path.stat().st_mode) == 0o600
        assert stat.S_IMODE(entry.path.parent.stat().st_mode) == 0o700


def test_count_and_seed_give_consecutive_seeds_for_each_prompt(cli: Cli, library: Path) -> None:
    words = ("generate", "a green leaf", "a cup", "--count", 2, "--seed", 40, *TWO_STEPS, "--json")
    pairs = [(e["prompt"], e["seed"]) for e in made(cli(library, *words))]
    assert pairs == [("a green leaf", 40), ("a green leaf", 41), ("a cup", 40), ("a cup", 41)]


def test_without_a_seed_one_is_drawn_and_printed(cli: Cli, library: Path) -> None:
    done = cli(library, "generate", "a key", *TWO_STEPS)
    assert done.exit_code == 0, done.stderr
    [line] = done.stdout.splitlines()
    full_id, score, seed, model, prompt, path = line.split("\t")
    assert (score, model, prompt) == ("-", "sovgen-mini", "a key")
    assert 0 <= int(seed) < 2**32
    assert Library.open(library).get(full_id).seed == int(seed)
    assert os.path.isfile(path)


def test_verbose_says_what_was_chosen_and_why(cli: Cli, library: Path) -> None:
    words = ("-v", "generate", "a sock", "--device", "cpu", *TWO_STEPS, "--json")
    done = cli(library, *words)
    assert len(made(done)) == 1
    assert "sovgen-mini on cpu." in done.stderr
    assert re.search(r"^(bfloat16|float32): \w+", done.stderr, re.MULTILINE)


def test_first_picture_makes_the_library_and_says_so_once(cli: Cli, tmp_path: Path) -> None:
    root = tmp_path / "new"
    done = cli(root, "generate", "a hat", *TWO_STEPS, "--json")
    assert len(made(done)) == 1
    assert done.stderr.count(str(root)) == 1
    assert {"library.duckdb", "pictures", "vectors", "thumbs"} <= set(os.listdir(root))
    assert stat.S_IMODE(root.stat().st_mode) == 0o700


def test_config_file_gives_the_defaults_and_options_win(cli: Cli, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('model = "no-such-model"\ndtype = "float32"\n')
    refused = cli(tmp_path / "l", "generate", "a hat", SOVGEN_CONFIG=str(config))
    assert refused.exit_code == 1 and "no-such-model" in refused.stderr
    words = ("generate", "a hat", "--model", "sovgen-mini", *TWO_STEPS, "--json")
    [entry] = made(cli(tmp_path / "l", *words, SOVGEN_CONFIG=str(config)))
    assert (entry["model"], entry["dtype"]) == ("sovgen-mini", "float32")


def test_private_leaves_no_prompt_anywhere(cli: Cli, tmp_path: Path) -> None:
    root = tmp_path / "library"
    words = ("generate", "zanzibarwort", "--negative", "quillfeather", *TWO_STEPS)
    done = cli(root, *words, "--private")
    assert done.exit_code == 0, done.stderr
    files = [p for p in root.rglob("*") if p.is_file()]
    assert any(p.suffix == ".png" for p in files)
    for path in files:
        told = str(path.relative_to(root)).encode() + path.read_bytes()
        assert not re.search(rb"zanzibarwort|quillfeather", told, re.IGNORECASE), path
    assert "zanzibarwort" not in done.stdout + done.stderr


def test_no_index_writes_here_and_makes_no_library(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    words = ("generate", "a bell", "--seed", 3, *TWO_STEPS, "--no-index", "--json")
    [first], [again] = made(cli(tmp_path / "none", *words)), made(cli(tmp_path / "none", *words))
    assert not (tmp_path / "none").exists()
    assert first["id"] == again["id"] and first["path"] != again["path"]
    assert set(first) >= {"id", "path", "seed", "prompt", "model"}
    assert read_picture(Path(str(first["path"])))[0].id == first["id"]
    (tmp_path / "here" / "out").mkdir()
    told = cli(tmp_path / "none", *words, "out").stderr
    assert "'out' is drawn as a prompt; the pictures go into the current folder." in told


def test_exact_draws_the_same_pixels_alone_as_in_company(cli: Cli, tmp_path: Path) -> None:
    words = ("generate", "--seed", 5, *TWO_STEPS, "--exact", "--json")
    alone = made(cli(tmp_path / "a", *words, "a boat"))
    company = made(cli(tmp_path / "b", *words, "a boat", "a tree"))
    assert alone[0]["id"] == company[0]["id"]


def test_remake_tells_that_the_weights_have_changed_since(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    pipe = tiny.sd1()
    pipe.save_pretrained(folder)
    words = ("--model", folder, "--steps", 1, "--size", "64x64", "--seed", 1, "--json")
    done = cli(tmp_path / "library", "generate", "a red fox", *words)
    [made] = json.loads(done.stdout)
    remake = ("remake", made["id"][:8], "--model", folder)
    assert cli(tmp_path / "library", *remake).stderr == ""
    with torch.no_grad():
        pipe.vae.decoder.conv_out.bias += 0.5
    pipe.vae.save_pretrained(folder / "vae")
    again = cli(tmp_path / "library", *remake)
    assert f"The weights of {folder} are not those that drew it." in again.stderr
    assert "configuration" not in again.stderr
    assert again.exit_code == 1 and "Another picture" in again.stderr


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("scheduler/scheduler_config.json", {"beta_schedule": "linear"}),
        ("unet/config.json", {"norm_eps": 0.5}),
    ],
)
def test_remake_tells_that_the_configuration_has_changed_since(
    cli: Cli, tmp_path: Path, name: str, changes: dict[str, object]
) -> None:
    folder, library = tmp_path / "model", tmp_path / "library"
    tiny.sd1().save_pretrained(folder)
    words = ("--model", folder, "--steps", 2, "--size", "64x64", "--seed", 1, "--json")
    [drawn] = made(cli(library, "generate", "a red fox", *words))
    text = (folder / name).read_text()
    (folder / name).write_text(json.dumps({**json.loads(text), **changes}))
    again = cli(library, "remake", str(drawn["id"]), "--model", folder)
    assert f"The configuration of {folder} is not the one that drew it." in again.stderr
    assert "weights" not in again.stderr
    assert again.exit_code == 1 and "Another picture" in again.stderr
    # A picture of a version that told the weights alone: nothing can be said.
    with duckdb.connect(library / "library.duckdb") as connection:
        connection.execute("UPDATE makings SET extra = NULL")
    again = cli(library, "remake", str(drawn["id"]), "--model", folder)
    assert "configuration" not in again.stderr


def test_remake_proves_that_the_recipe_is_the_picture(cli: Cli, drawn: Path) -> None:
    entry = Library.open(drawn).list(Query(k=1))[0]
    done = cli(drawn, "remake", entry.id[:8])
    assert done.exit_code == 0, done.stderr
    assert "same" in done.stdout


def test_stdout_is_results_alone_and_progress_needs_a_terminal(
    sovgen: Program, library: Path
) -> None:
    done = sovgen("--library", library, "generate", "a ring", *TWO_STEPS, "--json")
    assert len(json.loads(done.stdout)) == 1
    assert done.stderr == ""


def start(library: Path, environ: dict[str, str], count: int) -> subprocess.Popen[str]:
    """The program at work on `count` pictures; its first line has been read: one is kept."""
    words = ["generate", "a snail", "--count", str(count), "--seed", "1", *TWO_STEPS]
    command = [sys.executable, "-m", "sovgen", "--library", str(library), *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, env=environ, **pipes)  # type: ignore[call-overload]
    assert process.stdout is not None
    assert process.stdout.readline()
    return process  # type: ignore[no-any-return]


def rest_of(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What it still says; `communicate` would miss the lines that came along with the first."""
    assert process.stdout is not None
    assert process.stderr is not None
    out, err = process.stdout.read(), process.stderr.read()
    process.wait()
    return out, err


def test_ctrl_c_keeps_what_is_finished_and_says_so(library: Path, environ: dict[str, str]) -> None:
    process = start(library, environ, count=400)
    process.send_signal(signal.SIGINT)
    out, err = rest_of(process)
    printed = 1 + len(out.splitlines())
    assert process.returncode == 130
    assert "Traceback" not in err
    kept = Library.open(library).list(Query(k=None, where="prompt = 'a snail'"))
    assert len(kept) == printed
    assert f"{printed} " in err.splitlines()[-2]
    assert not Library.open(library).verify()


def test_killed_at_work_nothing_that_was_printed_is_lost(
    library: Path, environ: dict[str, str]
) -> None:
    before = {e.id for e in Library.open(library).list(Query(k=None))}
    process = start(library, environ, count=400)
    process.kill()
    out, _ = rest_of(process)
    kept = {e.id for e in Library.open(library).list(Query(k=None))}
    assert before < kept
    assert {line.split("\t")[0] for line in out.splitlines() if line.endswith(".png")} <= kept
    assert all(e.path.is_file() for e in Library.open(library).list(Query(k=None)))
