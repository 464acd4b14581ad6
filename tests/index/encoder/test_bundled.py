"""The bundled model is an ordinary diffusers folder."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors import safe_open

from index.bundled import bundled_model

GROUNDS = ("yellow", "dark blue")


@pytest.fixture(scope="module")
def pipe() -> StableDiffusionPipeline:
    pipe = StableDiffusionPipeline.from_pretrained(bundled_model(), dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def draw(pipe: StableDiffusionPipeline, prompt: str, seed: int) -> np.ndarray:
    noise = torch.Generator().manual_seed(seed)
    done = pipe(prompt, num_inference_steps=8, guidance_scale=3, generator=noise)
    return np.asarray(done.images[0], np.float32)


def test_diffusers_loads_it_and_draws_what_was_asked(pipe: StableDiffusionPipeline) -> None:
    yellow, blue = (draw(pipe, f"a key on a {ground} background", 3) for ground in GROUNDS)
    assert yellow.shape == (128, 128, 3)
    red_over_blue = [image[:8].mean((0, 1)) @ (1, 0, -1) for image in (yellow, blue)]
    assert red_over_blue[0] > 50 and red_over_blue[1] < -20


def test_a_seed_is_a_picture(pipe: StableDiffusionPipeline) -> None:
    first, again, other = (draw(pipe, "a rocket, flat style", seed) for seed in (3, 3, 4))
    assert np.abs(first - again).max() <= 1
    assert np.abs(first - other).max() > 20


def test_every_part_is_loaded_as_published(pipe: StableDiffusionPipeline) -> None:
    weights = bundled_model() / "text_encoder" / "model.safetensors"
    with safe_open(weights, "pt") as file:
        assert all(name.startswith("text_model.") for name in file.keys())
        loaded = {
            k.removeprefix("text_model."): v for k, v in pipe.text_encoder.state_dict().items()
        }
        for name in file.keys():
            stored = file.get_tensor(name).float()
            assert torch.equal(loaded[name.removeprefix("text_model.")], stored)


def test_no_file_tells_where_it_was_made() -> None:
    for path in bundled_model().rglob("*.json"):
        assert "_name_or_path" not in path.read_text()
    index = json.loads((bundled_model() / "model_index.json").read_text())
    assert index["_class_name"] == "StableDiffusionPipeline"
