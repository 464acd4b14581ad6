"""What is exported is a whole open_clip folder with the source's vectors, or nothing at all."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from index.bundled import bundled_model
from index.encoder import export_clip, load_encoder
from index.errors import EncoderDamaged, EncoderMissing, ExportExists
from tests.index.encoder.conftest import TEXTS, apart, by_open_clip, images_by_open_clip, pictures

KINDS = ("bundled", "transformers_folder", "diffusers_folder", "two_way_folder")


@pytest.mark.parametrize("kind", KINDS)
def test_open_clip_loads_it_with_the_same_vectors(
    tmp_path: Path, request: pytest.FixtureRequest, kind: str
) -> None:
    source = None if kind == "bundled" else request.getfixturevalue(kind)
    encoder = load_encoder(source)
    folder = export_clip(source, tmp_path / "new" / "clip")
    assert apart(encoder.encode_texts(TEXTS), by_open_clip(folder, TEXTS)) < 2e-6
    assert apart(encoder.encode_images(pictures()), images_by_open_clip(folder, pictures())) < 2e-6


def test_it_leaves_nothing_but_the_folder(tmp_path: Path, diffusers_folder: Path) -> None:
    folder = export_clip(diffusers_folder, tmp_path / "clip")
    assert list(tmp_path.iterdir()) == [folder]
    names = {path.name for path in folder.iterdir()}
    assert names == {"open_clip_config.json", "open_clip_model.safetensors"}


def test_what_stands_there_is_not_overwritten(tmp_path: Path, diffusers_folder: Path) -> None:
    (tmp_path / "mine").write_text("kept")
    with pytest.raises(ExportExists):
        export_clip(diffusers_folder, tmp_path)
    with pytest.raises(ExportExists):
        export_clip(diffusers_folder, tmp_path / "mine")
    assert (tmp_path / "mine").read_text() == "kept"


def test_an_empty_folder_is_filled(tmp_path: Path, diffusers_folder: Path) -> None:
    (tmp_path / "clip").mkdir()
    assert load_encoder(export_clip(diffusers_folder, tmp_path / "clip")).width == 24


def test_no_source_no_folder(tmp_path: Path) -> None:
    with pytest.raises(EncoderMissing):
        export_clip(tmp_path / "nowhere", tmp_path / "clip")
    assert list(tmp_path.iterdir()) == []


def test_a_vocabulary_that_open_clip_has_not_is_refused(
    tmp_path: Path, transformers_folder: Path
) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    shutil.copytree(transformers_folder, source)
    ids = json.loads((bundled_model() / "tokenizer" / "vocab.json").read_text())
    ids["fox</w>"], ids["cat</w>"] = ids["cat</w>"], ids["fox</w>"]
    (source / "vocab.json").write_text(json.dumps(ids))
    with pytest.raises(EncoderDamaged, match="another vocabulary"):
        export_clip(source, target)
    assert not target.exists() and list(tmp_path.iterdir()) == [source]
