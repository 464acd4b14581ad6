"""Sparing: short of memory, the autoencoder works in tiles, and the recipe remembers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from index.record import pixel_id
from sovgen.generate.generator import generate
from sovgen.generate.sparing import in_tiles
from sovgen.models.load import Model, load_model
from sovgen.recipe import Recipe
from tests import additions

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

APPLE = Recipe("a red apple", seed=11, steps=3, guidance=3.0)


@pytest.fixture(scope="module")
def mini() -> Model:
    return load_model(device="cpu", dtype="float32")


@contextmanager
def decoded(model: Model) -> Iterator[list[tuple[int, ...]]]:
    """What the decoder is given meanwhile, as heights and widths in latents."""
    shapes: list[tuple[int, ...]] = []
    hook = model.pipe.vae.decoder.register_forward_pre_hook(
        lambda _, given: shapes.append(tuple(given[0].shape[2:]))
    )
    try:
        yield shapes
    finally:
        hook.remove()


def draw(model: Model, recipe: Recipe) -> Image.Image:
    [picture] = generate(model, [recipe])
    return picture.image


def apart(one: Image.Image, other: Image.Image) -> float:
    return float(np.abs(np.asarray(one, np.int16) - np.asarray(other, np.int16)).mean())


def test_one_picture_that_does_not_fit_is_tried_again_in_tiles(mini: Model) -> None:
    seen, told = [], list[str]()

    def too_much_once(*_: object) -> None:
        seen.append(mini.pipe.vae.use_tiling)
        if len(seen) == 1:
            torch.empty(2**60, dtype=torch.uint8)

    with decoded(mini) as shapes:
        [again] = generate(mini, [APPLE], on_step=too_much_once, on_notice=told.append)
    assert seen == [False, True, True, True]
    assert "tiles" in told[0] and again.recipe.vae_tile == 64
    assert len(shapes) == 9 and max(shapes) == (8, 8)
    assert not mini.pipe.vae.use_tiling and mini.pipe.vae.tile_latent_min_size == 64
    assert 0 < apart(again.image, draw(mini, APPLE)) < 2


def test_a_picture_of_tiles_is_drawn_again_in_the_same_tiles(mini: Model) -> None:
    def only_in_tiles(*_: object) -> None:
        if not mini.pipe.vae.use_tiling:
            torch.empty(2**60, dtype=torch.uint8)

    [first] = generate(mini, [APPLE], on_step=only_in_tiles)
    again = draw(mini, first.recipe)
    assert pixel_id(again) == pixel_id(first.image) != pixel_id(draw(mini, APPLE))


def test_what_would_not_fit_whole_is_decoded_in_tiles_and_said(
    mini: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr("sovgen.generate.memory.free_bytes", lambda device: 1_000_000)
    [picture] = generate(mini, [APPLE], on_notice=told.append)
    assert "tiles" in told[0] and picture.recipe.vae_tile == 64


@pytest.mark.parametrize("name", ["sd1", "sana"])
def test_every_autoencoder_works_in_tiles(
    tiny_models: Path, tiny_transformers: Path, name: str
) -> None:
    """AutoencoderKL, and AutoencoderDC, which has sizes of its own for height and width."""
    folder = tiny_models if name == "sd1" else tiny_transformers
    model = load_model(folder / name, dtype="float32")
    side = max(16 * model.cell, 2 * model.native_size[0])
    recipe = replace(APPLE, steps=1, guidance=1.0, width=side, height=side)
    tile = in_tiles(model, recipe).vae_tile
    assert tile is not None and side / 2 <= tile < side
    begun = replace(recipe, vae_tile=tile, init="grey", strength=1.0)
    encoded: list[int] = []
    hook = model.pipe.vae.encoder.register_forward_pre_hook(
        lambda _, given: encoded.append(max(given[0].shape[2:]))
    )
    with decoded(model) as shapes:
        [picture] = generate(
            model, [begun], sources={"grey": Image.new("RGB", (side, side), "grey")}
        )
    hook.remove()
    assert len(shapes) > 3 and max(max(shape) for shape in shapes) * model.cell == tile
    assert max(encoded) == tile
    assert picture.image.size == (side, side)


def test_tiles_are_those_of_the_autoencoder_that_draws(tiny_models: Path, tmp_path: Path) -> None:
    additions.other_vae().save_pretrained(tmp_path / "soft")
    model = load_model(tiny_models / "sd1", dtype="float32", folders=[tmp_path])
    own, side = model.pipe.vae, 16 * model.cell
    recipe = replace(APPLE, steps=1, guidance=1.0, width=side, height=side, vae="soft")
    whole = draw(model, recipe)
    draw(model, replace(recipe, vae=None))
    assert model.pipe.vae is own
    tiled = draw(model, replace(recipe, vae_tile=side // 2))
    assert model.pipe.vae is not own
    assert 0 < apart(whole, tiled) < apart(whole, draw(model, replace(recipe, vae=None)))
