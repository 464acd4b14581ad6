"""--lora, --control-image, --reference: additions by name, pictures by id or file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from index import Library, Query
from tests import additions, tiny
from tests.cli.conftest import Cli

SETTLED = ("--size", "64x64", "--steps", "2", "--seed", "3", "--dtype", "float32")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder whose models/ holds a tiny SD 1 and its additions."""
    root = tmp_path_factory.mktemp("data")
    shelf = root / "sovgen" / "models"
    pipe = tiny.sd1()
    pipe.save_pretrained(shelf / "tiny")
    additions.save_kohya(additions.lora_of(pipe), shelf / "ink.safetensors", pipe)
    additions.save_embedding(shelf / "moebius.safetensors", {"emb_params": 64})
    additions.other_vae().save_pretrained(shelf / "soft")
    additions.control_of(pipe).save_pretrained(shelf / "edges")
    (shelf / "looks").mkdir()
    additions.save_adapter(pipe, shelf / "looks")
    return root


def test_recipe_with_everything_is_drawn_kept_found_and_made_again(
    cli: Cli, models: Path, tmp_path: Path
) -> None:
    root, picture = tmp_path / "library", tmp_path / "ramp.png"
    Image.linear_gradient("L").resize((64, 64)).save(picture)
    data = {"XDG_DATA_HOME": str(models)}
    words = (
        *("generate", "a fox, moebius", "--model", "tiny", *SETTLED, "--json"),
        *("--lora", "ink:0.8", "--embedding", "moebius", "--vae", "soft"),
        *("--control", "edges", "--control-image", picture, "--control-weight", 0.5),
        *("--adapter", "looks", "--reference", f"{picture}:0.7"),
    )
    done = cli(root, *words, **data)
    assert done.exit_code == 0, done.stderr
    [made] = json.loads(done.stdout)
    library = Library.open(root)
    source = next(e.id for e in library.list(Query(k=None)) if e.id != made["id"])
    settings = library.get(made["id"]).settings
    assert settings["loras"] == ("ink:0.8",)
    assert (settings["control_image"], settings["control_weight"]) == (source, 0.5)
    assert settings["reference"] == (f"{source}:0.7",)
    found = library.list(Query(where="list_contains(loras, 'ink:0.8') AND vae = 'soft'"))
    assert [entry.id for entry in found] == [made["id"]]
    picture.unlink()
    again = cli(root, "remake", made["id"][:8], **data)
    assert again.exit_code == 0, again.stderr
    assert "to the last pixel" in again.stdout
    assert again.stderr == ""


@pytest.mark.parametrize(
    "verb", [("variations", "--count", "1", "--seed", "5"), ("upscale", "--strength", "0.6")]
)
def test_additions_without_names_go_on_being_found(
    cli: Cli, models: Path, tmp_path: Path, verb: tuple[str, ...]
) -> None:
    root, elsewhere = tmp_path / "library", tmp_path / "elsewhere"
    elsewhere.mkdir()
    shelf = models / "sovgen" / "models"
    shutil.copy(shelf / "ink.safetensors", elsewhere / "wash.safetensors")
    with_lora = ("--lora", f"{elsewhere / 'wash.safetensors'}:0.8")
    own = ("--model", shelf / "tiny")
    done = cli(root, "generate", "a fox", *own, *SETTLED, *with_lora, "--json")
    [made] = json.loads(done.stdout)
    name, *given = verb
    on = (*own, *given, "--additions", elsewhere, "--json")
    done = cli(root, name, made["id"][:8], *on)
    assert done.exit_code == 0, done.stderr
    [one] = json.loads(done.stdout)
    assert Library.open(root).get(one["id"]).settings["loras"] == ("wash:0.8",)


def test_remake_tells_of_an_addition_that_has_changed(
    cli: Cli, models: Path, tmp_path: Path
) -> None:
    root, style = tmp_path / "library", tmp_path / "style.safetensors"
    shutil.copy(models / "sovgen" / "models" / "ink.safetensors", style)
    data = {"XDG_DATA_HOME": str(models)}
    words = ("generate", "a fox", "--model", "tiny", *SETTLED, "--lora", style, "--json")
    [made] = json.loads(cli(root, *words, **data).stdout)
    lost = cli(root, "remake", made["id"][:8], **data)
    assert lost.exit_code == 1
    assert "no LoRA 'style'" in lost.stderr
    additions.save_kohya(additions.lora_of(tiny.sd1(), seed=1), style, tiny.sd1())
    assert "--additions" in lost.stderr
    changed = cli(root, "remake", made["id"][:8], "--additions", tmp_path, **data)
    assert changed.exit_code == 1
    assert "style is not the one that drew it" in changed.stderr


def test_list_tells_what_kind_each_is(cli: Cli, models: Path, tmp_path: Path) -> None:
    done = cli(tmp_path, "models", "list", "--json", XDG_DATA_HOME=str(models))
    kinds = {one["name"]: one["kind"] for one in json.loads(done.stdout)}
    assert kinds == {
        "sovgen-mini": "model",
        "tiny": "model",
        "ink": "lora",
        "moebius": "embedding",
        "soft": "vae",
        "edges": "controlnet",
        "looks": "adapter",
    }


def test_nothing_is_made_for_an_addition_that_is_not_there(cli: Cli, tmp_path: Path) -> None:
    done = cli(tmp_path / "library", "generate", "a fox", "--lora", "nobody")
    assert done.exit_code == 1
    assert "There is no LoRA 'nobody'" in done.stderr
    assert not (tmp_path / "library").exists()


def test_without_an_index_files_are_looked_at_and_not_kept(
    cli: Cli, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = tmp_path / "ramp.png"
    Image.linear_gradient("L").save(picture)
    monkeypatch.chdir(tmp_path)
    words = (
        *("generate", "a fox", "--model", "tiny", *SETTLED, "--json", "--no-index"),
        *("--adapter", "looks", "--reference", picture),
    )
    done = cli(tmp_path / "library", *words, XDG_DATA_HOME=str(models))
    assert done.exit_code == 0, done.stderr
    [made] = json.loads(done.stdout)
    assert made["reference"][0].endswith(":1")
    assert not (tmp_path / "library").exists()
