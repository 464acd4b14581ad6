"""Encoders that give the same vectors have one fingerprint, and others have others."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from index.encoder import export_clip, load_encoder
from tests import tiny_clip

LONG_AGO = 1_700_000_000
WEIGHTS = "open_clip_model.safetensors"
CONFIG = "open_clip_config.json"

Change = Callable[[dict[str, torch.Tensor], dict[str, dict[str, object]]], None]


@pytest.fixture
def copy(tmp_path: Path, open_clip_folders: dict[str, Path]) -> Path:
    folder = tmp_path / "copy"
    shutil.copytree(open_clip_folders["gelu"], folder)
    return folder


def changed(folder: Path, change: Change) -> str:
    """The fingerprint once `change` was applied to the folder's weights and config."""
    state = load_file(folder / WEIGHTS)
    config = json.loads((folder / CONFIG).read_text())
    change(state, config)
    save_file(state, folder / WEIGHTS)
    (folder / CONFIG).write_text(json.dumps(config))
    return load_encoder(folder).fingerprint


def one_weight(state: dict[str, torch.Tensor], config: object) -> None:
    state["visual.conv1.weight"][0, 0, 0, 0] += 1e-3


def one_word(state: dict[str, torch.Tensor], config: object) -> None:
    state["token_embedding.weight"][-1, -1] += 1e-3


def swapped_layers(state: dict[str, torch.Tensor], config: object) -> None:
    names = [f"transformer.resblocks.{i}.ln_1.weight" for i in (0, 1)]
    state[names[0]], state[names[1]] = state[names[1]].clone(), state[names[0]].clone()


def quick_gelu(state: object, config: dict[str, dict[str, object]]) -> None:
    config["model_cfg"]["quick_gelu"] = True


def other_heads(state: object, config: dict[str, dict[str, dict[str, object]]]) -> None:
    config["model_cfg"]["text_cfg"]["heads"] = 2


def other_mean(state: object, config: dict[str, dict[str, object]]) -> None:
    config["preprocess_cfg"]["mean"] = [0.5, 0.5, 0.5]


def other_resize(state: object, config: dict[str, dict[str, object]]) -> None:
    config["preprocess_cfg"]["resize_mode"] = "longest"


def shorter_text(state: object, config: dict[str, dict[str, dict[str, object]]]) -> None:
    config["model_cfg"]["text_cfg"]["context_length"] = 10


CHANGES = (
    one_weight,
    one_word,
    swapped_layers,
    quick_gelu,
    other_heads,
    other_mean,
    other_resize,
    shorter_text,
)


@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_a_vector_changes_the_fingerprint(copy: Path, change: Change) -> None:
    before = load_encoder(copy).fingerprint
    assert changed(copy, change) != before


def hotter(state: dict[str, torch.Tensor], config: object) -> None:
    state["logit_scale"] = torch.tensor(3.0)


def said_aloud(state: object, config: dict[str, dict[str, dict[str, object]]]) -> None:
    config["model_cfg"]["quick_gelu"] = False
    config["model_cfg"]["text_cfg"] |= {
        "mlp_ratio": 4,
        "pool_type": "argmax",
        "ls_init_value": None,
    }
    config["preprocess_cfg"]["size"] = 32


@pytest.mark.parametrize("change", [hotter, said_aloud])
def test_what_changes_no_vector_does_not(copy: Path, change: Change) -> None:
    before = load_encoder(copy).fingerprint
    assert changed(copy, change) == before


def test_it_is_the_values_that_count_and_not_their_format(copy: Path) -> None:
    def halved(state: dict[str, torch.Tensor], config: object) -> None:
        state.update({k: v.half() for k, v in state.items() if v.is_floating_point()})

    def widened(state: dict[str, torch.Tensor], config: object) -> None:
        state.update({k: v.double() for k, v in state.items() if v.is_floating_point()})

    whole, half = load_encoder(copy).fingerprint, changed(copy, halved)
    assert half != whole
    assert changed(copy, widened) == half


def test_a_text_tower_of_its_own_is_the_same_tower(open_clip_folders: dict[str, Path]) -> None:
    apart, inside = (load_encoder(open_clip_folders[name]) for name in ("custom text", "gelu"))
    assert set(apart.checkpoint.tensors) == set(inside.checkpoint.tensors)


@pytest.mark.parametrize("kind", ["transformers_folder", "diffusers_folder"])
def test_an_export_has_its_sources_fingerprint(
    tmp_path: Path, request: pytest.FixtureRequest, kind: str
) -> None:
    source = request.getfixturevalue(kind)
    exported = export_clip(source, tmp_path / "export")
    assert load_encoder(exported).fingerprint == load_encoder(source).fingerprint


def test_the_bundled_encoder_and_its_export_are_one(tmp_path: Path) -> None:
    exported = load_encoder(export_clip(None, tmp_path / "export"))
    assert (
        exported.fingerprint
        == load_encoder().fingerprint
        == load_encoder("sovgen-mini").fingerprint
    )
    assert exported.source != load_encoder().source == "sovgen-mini"


def test_a_fingerprint_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, copy: Path
) -> None:
    monkeypatch.setenv("SOVGEN_CACHE", str(tmp_path / "cache"))
    file = copy / WEIGHTS
    for path in copy.iterdir():
        os.utime(path, (LONG_AGO, LONG_AGO))
    first = load_encoder(copy).fingerprint
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    os.utime(file, (LONG_AGO, LONG_AGO))
    assert load_encoder(copy).fingerprint == first
    os.utime(file, (LONG_AGO, LONG_AGO + 1))
    assert load_encoder(copy).fingerprint != first


def test_two_kinds_of_image_tower_are_two_encoders(open_clip_folders: dict[str, Path]) -> None:
    names = ("gelu", "quick", "timm", "half", "brain half", "wide")
    prints = {load_encoder(open_clip_folders[name]).fingerprint for name in names}
    assert len(prints) == len(names)


def test_a_transformers_twin_of_an_open_clip_folder_is_the_same_encoder(
    tmp_path: Path, transformers_folder: Path
) -> None:
    twin = export_clip(transformers_folder, tmp_path / "twin")
    model_cfg = json.loads((twin / CONFIG).read_text())["model_cfg"]
    assert model_cfg["quick_gelu"] is True
    assert model_cfg["text_cfg"]["width"] == tiny_clip.TEXT["width"]
