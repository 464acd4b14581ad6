"""Recipes become pictures: the bundled model, its real weights, a few steps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from numpy.typing import NDArray
from PIL import Image

from index.bundled import bundled_model
from sovgen.errors import BadRecipe, BrokenPicture, OutOfMemory
from sovgen.generate.generator import generate
from sovgen.models.load import Model, load_model
from sovgen.picture import encode_png
from sovgen.recipe import Recipe

APPLE = Recipe("a red apple", seed=11, steps=3, guidance=3.0)
FOUR = [replace(APPLE, prompt=p, seed=s) for s, p in enumerate(("a cat", "a house", "", "pizza"))]


@pytest.fixture(scope="module")
def mini() -> Model:
    return load_model(device="cpu", dtype="float32")


def pixels(image: Image.Image) -> NDArray[np.int16]:
    return np.asarray(image).astype(np.int16)


def share_within_one(one: Image.Image, other: Image.Image) -> float:
    return float((np.abs(pixels(one) - pixels(other)).max(axis=-1) <= 1).mean())


def draw(model: Model, recipe: Recipe) -> Image.Image:
    [picture] = generate(model, [recipe])
    return picture.image


def test_plain_diffusers_makes_the_same_picture(mini: Model) -> None:
    pipe = StableDiffusionPipeline.from_pretrained(bundled_model(), use_safetensors=True)
    pipe.set_progress_bar_config(disable=True)
    plain = pipe(
        APPLE.prompt,
        num_inference_steps=3,
        guidance_scale=3.0,
        generator=torch.Generator().manual_seed(11),
    ).images[0]
    assert np.abs(pixels(plain) - pixels(draw(mini, APPLE))).max() <= 1


def test_recipe_of_a_picture_leaves_nothing_open_and_remakes_it(mini: Model) -> None:
    [picture] = generate(mini, [APPLE])
    assert all(value is not None for value in vars(picture.recipe).values())
    assert picture.recipe.model == "sovgen-mini"
    [again] = generate(mini, [picture.recipe])
    assert encode_png(again) == encode_png(picture)


def test_batch_gives_the_pictures_that_each_alone_gives(mini: Model) -> None:
    together = list(generate(mini, FOUR, batch=4))
    alone = list(generate(mini, FOUR, exact=True))
    assert [p.recipe.seed for p in together] == [0, 1, 2, 3]
    for one, other in zip(together, alone, strict=True):
        assert share_within_one(one.image, other.image) >= 0.999


def test_same_batch_gives_the_same_bytes(mini: Model) -> None:
    first, second = (list(generate(mini, FOUR, batch=2)) for _ in range(2))
    assert [encode_png(p) for p in first] == [encode_png(p) for p in second]
    assert len({p.id for p in first}) == 4
