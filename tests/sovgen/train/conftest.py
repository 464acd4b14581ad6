"""A tiny icon set, a tiny data set and a tiny model folder, all of the real kinds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from index.bundled import bundled_model
from sovgen.train.dataset import Dataset, build
from sovgen.train.texts import TextTower, write_texts
from sovgen.train.towers import Towers, new_visual, write_visual
from tests.sovgen.train.tiny import tiny_unet, tiny_vae

SHAPES = {
    "red-circle": '<circle cx="8" cy="8" r="6" fill="#d22"/>',
    "red-circle-light": '<circle cx="8" cy="8" r="6" fill="#f88"/>',
    "blue-square": '<rect x="3" y="3" width="10" height="10" fill="#24d"/>',
    "green-triangle": '<path d="M8 2L14 14H2Z" fill="#2a4"/>',
    "owl": '<ellipse cx="8" cy="8" rx="7" ry="5" fill="currentColor"/>',
    "speck": '<circle cx="8" cy="8" r="0.4" fill="#000"/>',
    "flag-north": '<rect x="1" y="1" width="14" height="14" fill="#000"/>',
    "torn": '<rect x="1" y="1" width="14" height="14" fill=',
}
RECIPE = """
name = "tiny"
side = 32
held_out = 0.3
drop = ["^flag-"]

[keywords]
folder = "words"
file = "data.json"
licence = "MIT"

[[set]]
name = "shapes"
folder = "shapes"
licence = "MIT"
styles = ["flat style"]
variants = '-light$'

[[set]]
name = "together"
folder = "together"
licence = "CC-BY-4.0"
run_together = true

[[set]]
name = "judge"
folder = "judge"
licence = "CC-BY-SA-4.0"
role = "test"
"""


def write_icons(folder: Path, licence: str, shapes: dict[str, str]) -> None:
    """An icon set as npm's iconify packages hold it."""
    folder.mkdir(parents=True)
    icons = {name: {"body": body} for name, body in shapes.items()}
    icons |= {"old": {"body": SHAPES["owl"], "hidden": True}} if "owl" in shapes else {}
    (folder / "icons.json").write_text(json.dumps({"icons": icons, "width": 16, "height": 16}))
    info = {"author": {"name": folder.name, "url": "u"}, "license": {"spdx": licence}}
    (folder / "info.json").write_text(json.dumps(info))
    (folder / "metadata.json").write_text(json.dumps({"categories": {"Symbols": ["blue-square"]}}))


@pytest.fixture(scope="session")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe beside its icon sets."""
    base = tmp_path_factory.mktemp("recipe")
    write_icons(base / "shapes", "MIT", SHAPES)
    fused = {"greentriangle": SHAPES["green-triangle"], "unheardof": SHAPES["owl"]}
    write_icons(base / "together", "CC-BY-4.0", fused)
    tests = {"owl": SHAPES["blue-square"], "stranger": SHAPES["owl"]}
    write_icons(base / "judge", "CC-BY-SA-4.0", tests)
    (base / "words").mkdir()
    (base / "words" / "package.json").write_text(json.dumps({"license": "MIT", "author": "w"}))
    words = [{"label": "Owl", "tags": ["bird", "night"]}]
    (base / "words" / "data.json").write_text(json.dumps(words))
    (base / "tiny.toml").write_text(RECIPE)
    return base / "tiny.toml"


@pytest.fixture(scope="session")
def data(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The data set of that recipe."""
    folder = tmp_path_factory.mktemp("data") / "tiny"
    return build(recipe, folder, packages=folder, workers=1, on_notice=lambda text: None)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder: every part of its real class, with the bundled tokenizer."""
    from diffusers import DDIMScheduler, StableDiffusionPipeline
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("model") / "tiny"
    shape = CLIPTextConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=32, vocab_size=49408, projection_dim=24,
        bos_token_id=49406, eos_token_id=49407, pad_token_id=0,
    )  # fmt: skip
    tokenizer = CLIPTokenizer.from_pretrained(bundled_model() / "tokenizer")
    encoder = CLIPTextModel(shape).eval()
    scheduler = DDIMScheduler(
        beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, clip_sample=False,
        rescale_betas_zero_snr=True, prediction_type="v_prediction", timestep_spacing="trailing",
        steps_offset=1,
    )  # fmt: skip
    pipe = StableDiffusionPipeline(
        vae=tiny_vae(), text_encoder=encoder, tokenizer=tokenizer, unet=tiny_unet(),
        scheduler=scheduler, safety_checker=None, feature_extractor=None,
        requires_safety_checker=False,
    )  # fmt: skip
    pipe.save_pretrained(folder)
    write_texts(folder, TextTower(tokenizer, encoder, torch.zeros(0)), 0)
    towers = Towers(new_visual("test_resnet", 32, 24), torch.tensor(3.0))
    vision = {"timm_model_name": "test_resnet", "image_size": 32}
    config = {"model_cfg": {"embed_dim": 24, "vision_cfg": vision}}
    write_visual(folder, towers, torch.randn(16, 24), config, 7)
    return folder
