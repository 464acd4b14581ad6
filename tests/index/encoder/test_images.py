"""A picture's vector is the one that open_clip or transformers gives, preprocessing included."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPImageProcessorPil, CLIPModel

from index.encoder import export_clip, load_encoder
from index.encoder.preprocessing import Preprocessing
from index.errors import EncoderDamaged
from tests import tiny_clip
from tests.index.encoder.conftest import LAYOUTS, apart, images_by_open_clip, pictures


@pytest.mark.parametrize("layout", LAYOUTS)
def test_open_clip_folders_give_open_clips_vectors(
    open_clip_folders: dict[str, Path], layout: str
) -> None:
    folder = open_clip_folders[layout]
    ours = load_encoder(folder).encode_images(pictures())
    assert apart(ours, images_by_open_clip(folder, pictures())) < 1e-6


@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
def test_preprocessing_is_the_configs_own(tmp_path: Path, mode: str) -> None:
    preprocess = {"resize_mode": mode, "interpolation": "bicubic", "fill_color": 9}
    folder = tiny_clip.open_clip_folder(tmp_path / mode, preprocess=preprocess)
    ours = load_encoder(folder).encode_images(pictures())
    assert apart(ours, images_by_open_clip(folder, pictures())) < 1e-6


def test_a_tower_that_needs_the_whole_model(two_way_folder: Path) -> None:
    ours = load_encoder(two_way_folder).encode_images(pictures())
    assert apart(ours, images_by_open_clip(two_way_folder, pictures())) < 1e-6


def test_a_transformers_folder_gives_transformers_vectors(transformers_folder: Path) -> None:
    model = CLIPModel.from_pretrained(transformers_folder).eval()
    processor = CLIPImageProcessorPil.from_pretrained(transformers_folder)
    with torch.inference_mode():
        pixels = processor(pictures(), return_tensors="pt").pixel_values
        state = model.visual_projection(model.vision_model(pixels).pooler_output)
        rows = torch.nn.functional.normalize(state, dim=-1).numpy()
    assert apart(load_encoder(transformers_folder).encode_images(pictures()), rows) < 2e-6


def test_rows_are_unit_in_order_and_independent_of_their_company() -> None:
    encoder, images = load_encoder(), pictures() * 10
    together = encoder.encode_images(images)
    assert together.dtype == np.float32 and together.shape == (40, encoder.width)
    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)
    alone = np.concatenate([encoder.encode_images([image]) for image in pictures()])
    assert apart(together[36:], alone) < 1e-5
    assert encoder.encode_images([]).shape == (0, encoder.width)


def test_the_same_picture_in_another_mode_has_the_same_vector() -> None:
    encoder = load_encoder()
    flat = pictures()[0].quantize(16)
    forms = [flat, flat.convert("RGB"), flat.convert("RGBA")]
    rows = encoder.encode_images(forms)
    assert apart(rows, np.repeat(rows[:1], 3, axis=0)) < 1e-6


def test_what_is_transparent_lies_on_white() -> None:
    shape = Image.new("L", (64, 64), 0)
    shape.paste(255, (16, 16, 48, 48))
    hidden = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    hidden.paste((200, 30, 30, 255), mask=shape)
    visible = Image.new("RGB", (64, 64), "white")
    visible.paste((200, 30, 30), mask=shape)
    rows = load_encoder().encode_images([hidden, visible])
    assert apart(rows[:1], rows[1:]) < 1e-6


def test_a_tower_that_does_not_fit_its_config_is_refused(
    tmp_path: Path, open_clip_folders: dict[str, Path]
) -> None:
    folder = tmp_path / "clip"
    shutil.copytree(open_clip_folders["gelu"], folder)
    file = folder / "open_clip_config.json"
    config = json.loads(file.read_text())
    config["model_cfg"]["vision_cfg"]["layers"] = 5
    file.write_text(json.dumps(config))
    with pytest.raises(EncoderDamaged, match="does not fit"):
        load_encoder(folder).encode_images(pictures())


OLD_FORM = {"size": 48, "crop_size": 48, "resample": 2}
SQUASHED = {"size": {"height": 48, "width": 40}, "do_center_crop": False, "do_normalize": False}


@pytest.mark.parametrize(
    ("config", "wanted"),
    [
        (OLD_FORM, Preprocessing((48, 48), interpolation="bilinear")),
        (SQUASHED, Preprocessing((48, 40), (0, 0, 0), (1, 1, 1), resize_mode="squash")),
        ({}, Preprocessing((224, 224))),
    ],
)
def test_transformers_forms_of_preprocessing(
    config: dict[str, object], wanted: Preprocessing
) -> None:
    assert Preprocessing.of_transformers(config) == wanted


@pytest.mark.parametrize(
    "config",
    [
        {"size": {"shortest_edge": 256}, "crop_size": 224},
        {"do_center_crop": False},
        {"do_resize": False},
        {"resample": 0},
    ],
)
def test_preprocessing_that_would_be_done_wrongly_is_refused(config: dict[str, object]) -> None:
    with pytest.raises(EncoderDamaged):
        Preprocessing.of_transformers(config)


def test_threads_share_one_tower(open_clip_folders: dict[str, Path]) -> None:
    encoder = load_encoder(open_clip_folders["gelu"])
    with ThreadPoolExecutor(4) as pool:
        rows = list(pool.map(lambda _: encoder.encode_images(pictures()), range(8)))
    assert all(np.array_equal(rows[0], other) for other in rows)


def test_the_bundled_encoder_gives_open_clips_vectors_without_open_clip(tmp_path: Path) -> None:
    folder = export_clip(None, tmp_path / "clip")
    rows = load_encoder().encode_images(pictures())
    assert apart(rows, images_by_open_clip(folder, pictures())) < 1e-6


def test_the_bundled_encoder_does_without_open_clip() -> None:
    script = (
        "import sys; from PIL import Image; from index.encoder import load_encoder; "
        "load_encoder().encode_images([Image.new('RGB', (64, 64))]); "
        "print({'open_clip', 'timm'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


def test_a_large_tower_may_round_but_no_row_depends_on_its_company(
    open_clip_folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = load_encoder(open_clip_folders["wide"]).encode_images(pictures())
    monkeypatch.setattr("index.encoder.vision._LARGE", 0)
    encoder = load_encoder(open_clip_folders["wide"])
    together = encoder.encode_images(pictures())
    alone = np.concatenate([encoder.encode_images([image]) for image in pictures()])
    assert together.dtype == np.float32
    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)
    assert (together * exact).sum(axis=1).min() > 0.9995
    assert apart(together, alone) < 1e-6
