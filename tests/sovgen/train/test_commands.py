"""`sovgen train` as a person types it: each mistake is one clear line, and nothing is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from index import Library, curate
from sovgen.cli.main import program
from sovgen.train.dataset import Dataset

SHORT = """
[loop]
batch = 2
steps = {steps}
warm_up = 1
log_every = 1
learning_rate = {rate}
checkpoint_minutes = 1e-9

[{table}]
sample_steps = 2
prompts = ["an owl"]
"""
Run = Callable[..., Result]


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the program inside this process, with a library and a config of its own."""
    (tmp_path / "config.toml").touch()
    monkeypatch.setenv("SOVGEN_CONFIG", str(tmp_path / "config.toml"))

    def run(*words: object) -> Result:
        return CliRunner().invoke(program, ["--library", str(tmp_path / "lib"), *map(str, words)])

    return run


@pytest.fixture
def short(tmp_path: Path) -> Callable[..., Path]:
    """A recipe of a few steps."""

    def write(table: str = "diffusion", steps: int = 10, rate: float = 1e-3) -> Path:
        path = tmp_path / f"{table}-{steps}.toml"
        path.write_text(SHORT.format(table=table, steps=steps, rate=rate))
        return path

    return write


def refused(result: Result, said: str) -> None:
    assert result.exit_code == 1, result.output
    assert said in result.stderr.splitlines()[-2], result.stderr
    assert result.stderr.splitlines()[-1].startswith("Hint: ")
    assert "Traceback" not in result.output


def test_a_data_set_is_built_once(cli: Run, recipe: Path, tmp_path: Path) -> None:
    words = ("train", "dataset", "build", recipe, "--to", tmp_path / "d", "--workers", 1)
    done = cli(*words)
    assert done.stdout == f"5\t{tmp_path / 'd'}\n"
    assert "Left out, unreadable: shapes/torn." in done.stderr
    refused(cli(*words), "holds a data set already")
    refused(
        cli("train", "dataset", "build", tmp_path / "no.toml", "--to", tmp_path / "e"), "no rec"
    )


def test_diffusion_goes_on_and_is_put_into_a_model(
    cli: Run, data: Dataset, model: Path, short: Callable[..., Path], tmp_path: Path
) -> None:
    words = ("train", "diffusion", "--data", data.folder, "--from", model, "--run", tmp_path / "r")
    first = cli(*words, "--recipe", short(steps=10), "--device", "cpu")
    assert first.stdout == f"{tmp_path / 'r'}\n", first.output
    assert "step 10  samples 20  loss 0." in first.stderr
    second = cli(*words, "--recipe", short(steps=20))
    assert "Goes on from step 10, 20 samples seen." in second.stderr
    made = cli("train", "assemble", tmp_path / "r", "--to", tmp_path / "m", "--from", model)
    assert made.stdout == f"unet\t{tmp_path / 'm'}\n"
    assert (tmp_path / "m" / "unet" / "diffusion_pytorch_model.safetensors").exists()
    assert "unet/config.json" in (tmp_path / "m" / "SHA256SUMS").read_text()


def test_several_processes_tell_everything_once(
    data: Dataset, model: Path, short: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "config.toml").touch()
    paths = os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")])
    ours = {"PYTHONPATH": paths, "SOVGEN_CONFIG": str(tmp_path / "config.toml")}
    several = "-m torch.distributed.run --standalone --nproc-per-node=2 -m sovgen train diffusion"
    words = ("--data", data.folder, "--from", model, "--to", tmp_path / "r", "--device", "cpu")
    command = [sys.executable, *several.split(), *map(str, words), "--recipe", str(short())]
    done = subprocess.run(
        command, env=os.environ | ours, timeout=300, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'r'}\n"), done.stderr
    assert done.stderr.count("step 10  samples") == 1, done.stderr


def test_mistakes_are_told_in_two_lines(
    cli: Run, data: Dataset, model: Path, short: Callable[..., Path], tmp_path: Path
) -> None:
    words = ("train", "diffusion", "--from", model, "--run", tmp_path / "r")
    refused(cli(*words, "--data", tmp_path / "none"), "There is no data set in")
    ours = (*words, "--data", data.folder)
    refused(cli(*ours, "--device", "quantum"), "There is no device 'quantum'")
    refused(cli(*ours, "--recipe", short("clip")), "unknown table [clip]")
    refused(cli(*ours, "--recipe", short(steps=9, rate=1e30)), "step-00000001 stands in")
    assert (tmp_path / "r" / "LATEST").read_text() == "step-00000001"


def test_a_lora_on_a_set_of_the_library(
    cli: Run, model: Path, short: Callable[..., Path], tmp_path: Path
) -> None:
    library = Library.create(tmp_path / "lib")
    for name, colour in (("red", "#d22"), ("blue", "#22d")):
        Image.new("RGB", (48, 32), colour).save(tmp_path / f"{name}.png")
    entries = library.add([tmp_path / "red.png", tmp_path / "blue.png"]).added
    curate.new_set(library, "plain")
    curate.new_set(library, "empty")
    curate.add_to_set(library, "plain", [e.id for e in entries])
    curate.caption(library, [entries[0].id], "a plain picture")
    words = ("--to", tmp_path / "r", "--model", model, "--recipe", short("lora"))
    done = cli("train", "lora", "plain", *words, "--word", "plainish")
    assert done.exit_code == 0, done.output
    folder = tmp_path / "r" / "model" / "plain"
    assert {f.name for f in folder.iterdir()} >= {
        "plain.safetensors", "pytorch_lora_weights.safetensors",
    }  # fmt: skip
    refused(cli("train", "lora", "nosuch", *words), "nosuch")
    refused(cli("train", "lora", "empty", *words, "--word", "w"), "holds no picture")


def test_odd_data_sets_are_told_and_learnt_from(
    cli: Run, data: Dataset, model: Path, short: Callable[..., Path], tmp_path: Path
) -> None:
    one = tmp_path / "one"
    one.mkdir()
    said = json.loads((data.folder / "dataset.json").read_text())
    side = said["side"]
    said["pictures"] = [said["pictures"][0] | {"caption": "", "keywords": []}]
    (one / "dataset.json").write_text(json.dumps(said))
    (one / "pictures.u8").write_bytes(data.pixels[:1].tobytes())
    assert (one / "pictures.u8").stat().st_size == side * side * 4
    words = ("train", "diffusion", "--data", one, "--from", model, "--to", tmp_path / "r")
    done = cli(*words, "--recipe", short(steps=2), "--device", "cpu")
    assert done.exit_code == 0, done.output
    assert "holds one picture" in done.stderr and "has a caption" in done.stderr


@pytest.mark.parametrize("minutes", ["nan", "-1", "0", "inf"])
def test_minutes_are_a_number_above_nought(cli: Run, data: Dataset, minutes: str) -> None:
    done = cli("train", "diffusion", "--data", data.folder, "--run", "r", "--minutes", minutes)
    assert done.exit_code == 2 and "minutes" in done.stderr


def test_a_lora_has_no_other_model_to_begin_from(cli: Run, tmp_path: Path) -> None:
    done = cli("train", "lora", "plain", "--to", tmp_path / "r", "--from", tmp_path)
    assert done.exit_code == 2 and "--from" in done.stderr


def test_a_lora_goes_on_with_its_own_set_alone(
    cli: Run, model: Path, short: Callable[..., Path], tmp_path: Path
) -> None:
    library = Library.create(tmp_path / "lib")
    Image.new("RGB", (48, 32), "#d22").save(tmp_path / "red.png")
    [entry] = library.add([tmp_path / "red.png"]).added
    for name in ("plain", "other"):
        curate.new_set(library, name)
        curate.add_to_set(library, name, [entry.id])
    words = ("--to", tmp_path / "r", "--model", model, "--word", "w")
    assert cli("train", "lora", "plain", *words, "--recipe", short("lora", 2)).exit_code == 0
    refused(
        cli("train", "lora", "other", *words, "--recipe", short("lora", 4)),
        "is of a training of lora of the set plain",
    )
