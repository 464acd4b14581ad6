"""Whatever is wrong with an encoder's folder is one clear line, and no pickle is ever opened."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from index.bundled import bundled_model
from index.encoder import load_encoder
from index.errors import EncoderDamaged, EncoderMissing, LibraryError
from tests.index.encoder.conftest import apart

WEIGHTS = "open_clip_model.safetensors"
CONFIG = "open_clip_config.json"


@pytest.fixture
def folder(tmp_path: Path, open_clip_folders: dict[str, Path]) -> Path:
    folder = tmp_path / "clip"
    shutil.copytree(open_clip_folders["gelu"], folder)
    return folder


@pytest.fixture
def bundled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the bundled encoder's parts, which is then what is bundled."""
    root, own = tmp_path / "data", bundled_model()
    copy = root / "models" / "sovgen-mini"
    for part in ("image_encoder", "text_encoder", "tokenizer"):
        shutil.copytree(own / part, copy / part)
    shutil.copyfile(own / "SHA256SUMS", copy / "SHA256SUMS")
    monkeypatch.setattr("index.bundled.data_folder", lambda: root)
    return copy


def refusal(source: Path | None, kind: type[LibraryError] = EncoderDamaged) -> str:
    with pytest.raises(kind) as refused:
        load_encoder(source)
    assert refused.value.hint and "\n" not in refused.value.message
    return refused.value.message


def test_the_bundled_encoder_needs_no_name() -> None:
    encoder = load_encoder()
    assert (encoder.name, encoder.source, encoder.width) == ("sovgen-mini", "sovgen-mini", 384)


def test_a_folder_is_known_by_its_name_and_place(folder: Path) -> None:
    encoder = load_encoder(str(folder))
    assert (encoder.name, encoder.source) == ("clip", str(folder))
    assert load_encoder(encoder.source).fingerprint == encoder.fingerprint


def test_what_holds_no_encoder_is_missing(tmp_path: Path) -> None:
    refusal(tmp_path / "nowhere", EncoderMissing)
    refusal(tmp_path, EncoderMissing)
    (tmp_path / "text_encoder").mkdir()
    assert "no image tower" in refusal(tmp_path, EncoderMissing)


def test_weights_that_are_gone_are_missing(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    refusal(folder, EncoderMissing)


@pytest.mark.parametrize("keep", [0, 5, 100, -1, -1000])
def test_truncated_weights_are_refused(folder: Path, keep: int) -> None:
    data = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(data[:keep])
    assert WEIGHTS in refusal(folder)


def test_what_only_calls_itself_safetensors_is_refused(folder: Path) -> None:
    torch.save({"a": torch.zeros(3)}, folder / WEIGHTS)
    assert WEIGHTS in refusal(folder)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "open_clip_pytorch_model.pt", "clip.ckpt"])
def test_pickles_are_refused_unopened(folder: Path, name: str) -> None:
    (folder / WEIGHTS).unlink()
    (folder / name).write_bytes(b"this is not even a pickle")
    message = refusal(folder)
    assert name in message and "pickle" in message


def test_a_lone_pickle_is_refused_as_one(tmp_path: Path) -> None:
    (tmp_path / "ViT-B-32.pt").write_bytes(b"")
    assert "pickle" in refusal(tmp_path)


def test_a_pickle_beside_the_weights_is_left_alone(folder: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(b"never opened")
    assert load_encoder(folder).encode_texts(["fox"]).shape == (1, 24)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", "{}", '{"model_cfg": {}}', '{"model_cfg": 1}']
)
def test_a_config_that_says_nothing_is_refused(folder: Path, text: str) -> None:
    (folder / CONFIG).write_text(text)
    refusal(folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model_type": "siglip"}, "siglip"),
        ({"text_config": {"hidden_act": "relu"}}, "relu"),
        ({"vision_config": {"hidden_act": "gelu"}}, "quick_gelu, gelu"),
    ],
)
def test_what_is_no_clip_is_refused(
    tmp_path: Path, transformers_folder: Path, change: dict[str, object], said: str
) -> None:
    shutil.copytree(transformers_folder, tmp_path / "clip")
    file = tmp_path / "clip" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    assert said in refusal(tmp_path / "clip")


@pytest.mark.parametrize("name", ["vocab.json", "preprocessor_config.json"])
def test_a_transformers_folder_needs_its_other_files(
    tmp_path: Path, transformers_folder: Path, name: str
) -> None:
    shutil.copytree(transformers_folder, tmp_path / "clip")
    (tmp_path / "clip" / name).unlink()
    refusal(tmp_path / "clip")


def test_what_is_not_published_is_not_checked(folder: Path) -> None:
    data = bytearray((folder / WEIGHTS).read_bytes())
    data[-1] ^= 1
    (folder / WEIGHTS).write_bytes(data)
    assert load_encoder(folder).width == 24


@pytest.mark.parametrize(
    "name",
    [
        "text_encoder/model.safetensors",
        "image_encoder/open_clip_config.json",
        "tokenizer/merges.txt",
    ],
)
def test_one_changed_byte_of_the_bundled_encoder_is_refused(bundled: Path, name: str) -> None:
    assert load_encoder().width == 384
    data = bytearray((bundled / name).read_bytes())
    data[-2] ^= 1
    (bundled / name).write_bytes(data)
    message = refusal(None)
    assert name.split("/")[-1] in message or "cannot be understood" in message


def test_the_bundled_encoder_without_its_sums_is_refused(bundled: Path) -> None:
    (bundled / "SHA256SUMS").unlink()
    assert "SHA256SUMS" in refusal(None)


def test_weights_in_shards_are_whole(tmp_path: Path, transformers_folder: Path) -> None:
    folder = tmp_path / "clip"
    shutil.copytree(transformers_folder, folder)
    state = load_file(folder / "model.safetensors")
    names = sorted(state)
    for i, part in enumerate((names[::2], names[1::2]), 1):
        shard = {name: state[name] for name in part}
        save_file(shard, folder / f"model-0000{i}-of-00002.safetensors")
    (folder / "model.safetensors").unlink()
    whole, sharded = load_encoder(transformers_folder), load_encoder(folder)
    assert apart(whole.encode_texts(["a red fox"]), sharded.encode_texts(["a red fox"])) == 0
    assert sharded.fingerprint == whole.fingerprint


def test_a_whole_model_that_open_clip_cannot_load_is_refused(
    tmp_path: Path, two_way_folder: Path
) -> None:
    folder = tmp_path / "clip"
    shutil.copytree(two_way_folder, folder)
    state = load_file(folder / WEIGHTS)
    del state["text.ln_final.weight"]
    save_file(state, folder / WEIGHTS)
    with pytest.raises(EncoderDamaged, match="open_clip cannot load") as refused:
        load_encoder(folder).encode_texts(["fox"])
    assert refused.value.hint


def test_a_text_tower_with_a_layer_missing_is_refused(folder: Path) -> None:
    state = load_file(folder / WEIGHTS)
    del state["transformer.resblocks.1.mlp.c_fc.weight"]
    save_file(state, folder / WEIGHTS)
    with pytest.raises(EncoderDamaged, match="does not fit"):
        load_encoder(folder).encode_texts(["fox"])
