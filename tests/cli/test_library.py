"""library, models, info: what stands where, and whether it is whole."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from index import Library, Query
from index.bundled import bundled_model
from tests.cli.conftest import Cli, Program


def test_new_makes_an_empty_library_once(cli: Cli, tmp_path: Path) -> None:
    made = cli(tmp_path / "unused", "library", "new", tmp_path / "new")
    assert made.exit_code == 0, made.stderr
    assert made.stdout == f"{tmp_path / 'new'}\n"
    assert Library.open(tmp_path / "new").list(Query()) == []
    again = cli(tmp_path / "unused", "library", "new", tmp_path / "new")
    assert again.exit_code == 1 and str(tmp_path / "new") in again.stderr


def test_info_has_what_scripts_rely_on(cli: Cli, drawn: Path) -> None:
    known = json.loads(cli(drawn, "library", "info", "--json").stdout)
    assert set(known) >= {"pictures", "encoder", "vectors", "index", "bytes"}
    assert known["pictures"] == 3
    names = [line.split()[0] for line in cli(drawn, "library", "info").stdout.splitlines()]
    assert names == list(known)


def test_verify_exits_by_what_it_finds(cli: Cli, library: Path) -> None:
    clean = cli(library, "library", "verify")
    assert (clean.exit_code, clean.stdout, clean.stderr) == (0, "", "Clean.\n")
    entry = Library.open(library).list(Query(k=1))[0]
    entry.path.unlink()
    broken = cli(library, "library", "verify")
    assert broken.exit_code == 1
    assert entry.path.name in broken.stdout
    assert broken.stderr.splitlines()[0] == "Error: 1 difference found."


def test_the_encoder_can_be_taken_elsewhere_and_used(
    cli: Cli, library: Path, tmp_path: Path
) -> None:
    done = cli(library, "models", "export-clip", tmp_path / "clip")
    assert done.exit_code == 0, done.stderr
    assert done.stdout == f"{tmp_path / 'clip'}\n"
    assert (tmp_path / "clip" / "open_clip_config.json").is_file()
    again = cli(library, "library", "reembed", "--encoder", tmp_path / "clip")
    assert again.exit_code == 0, again.stderr
    assert len(json.loads(cli(library, "search", "fruit", "--all", "--json").stdout)) == 3


def test_models_lists_and_describes_the_bundled_one(cli: Cli, drawn: Path) -> None:
    listed = json.loads(cli(drawn, "models", "list", "--json").stdout)
    assert "sovgen-mini" in [m["name"] for m in listed]
    known = json.loads(cli(drawn, "models", "info", "sovgen-mini", "--json").stdout)
    assert known["family"]
    computing = known["computing"]
    assert computing["device"] == "cpu" and ": " in computing["dtype"]
    assert computing["attention"].startswith("flash: ")
    assert re.match("(yes|no): ", computing["channels_last"])
    assert [told.partition(":")[0] for told in computing["backends"]] == [
        *("torch", "compile", "openvino")
    ]
    told = cli(drawn, "models", "info", "sovgen-mini").stdout
    assert "attention" in told and "openvino: ready" in told
    missing = cli(drawn, "models", "info", "sovgen-mni")
    assert missing.exit_code == 1 and "sovgen-mini" in missing.stderr


def test_models_verify_reads_every_byte_again(cli: Cli, drawn: Path, tmp_path: Path) -> None:
    assert cli(drawn, "models", "verify").exit_code == 0
    copy = Path(shutil.copytree(bundled_model(), tmp_path / "copy"))
    with (copy / "vae" / "config.json").open("a") as file:
        file.write("\n")
    changed = cli(drawn, "models", "verify", copy)
    assert changed.exit_code == 1
    assert "vae/config.json" in changed.stdout + changed.stderr


@pytest.mark.parametrize("word", ["device", "dtype", "model", "encoder", "offline", "torch"])
def test_info_tells_what_everything_runs_on(installation: str, word: str) -> None:
    assert word in installation


@pytest.fixture(scope="module")
def installation(sovgen: Program, drawn: Path) -> str:
    done = sovgen("--library", drawn, "info")
    assert done.returncode == 0, done.stderr
    assert 10 <= len(done.stdout.splitlines()) <= 16
    return done.stdout


def test_version_is_told(sovgen: Program) -> None:
    done = sovgen("--version")
    assert done.stdout.split()[0] == "sovgen" and done.stdout.split()[1][0].isdigit()
