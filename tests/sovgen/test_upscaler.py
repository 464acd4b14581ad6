"""Upscaling models: both kinds loaded from folders, tiled, and refused when they are none."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from index.record import pixel_id
from sovgen.errors import ModelMissing, ModelUnsupported, UnsafeWeights
from sovgen.generate.generator import generate
from sovgen.models.load import Model, load_model
from sovgen.picture import Picture, encode_png
from sovgen.recipe import Recipe
from sovgen.studio import Studio
from tests import upscalers
from tests.sovgen.scenes import SHADES

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning:diffusers"),
]

LARGER = Recipe("a fox", seed=4, steps=2, guidance=3.0, init="shades", upscale=4.0)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("upscalers")
    upscalers.x4().save_pretrained(root / "x4")
    upscalers.x2().save_pretrained(root / "x2")
    return root


@pytest.fixture(scope="module")
def mini(folders: Path) -> Model:
    return load_model(device="cpu", dtype="float32", folders=[folders])


def draw(model: Model, recipe: Recipe, source: Image.Image = SHADES) -> Picture:
    [picture] = generate(model, [recipe], sources={"shades": source})
    return picture


def test_x4_folder_draws_what_its_own_pipeline_draws(mini: Model, folders: Path) -> None:
    picture = draw(mini, replace(LARGER, upscaler=str(folders / "x4")))
    assert picture.image.size == (256, 256)
    assert (picture.recipe.upscaler, picture.recipe.strength) == ("x4", None)
    pipe = upscalers.x4()
    pipe.set_progress_bar_config(disable=True)
    plain = pipe(
        "a fox",
        image=SHADES,
        num_inference_steps=2,
        guidance_scale=3.0,
        generator=torch.Generator().manual_seed(4),
        latents=torch.randn((1, 4, 64, 64), generator=torch.Generator().manual_seed(4)),
    ).images[0]
    apart = np.asarray(plain, np.int16) - np.asarray(picture.image, np.int16)
    assert np.abs(apart).max() <= 1
    assert encode_png(draw(mini, picture.recipe)) == encode_png(picture)
    assert list(picture.additions["upscaler"]) == ["x4"]


def test_an_upscaler_by_itself_leaves_the_models_weights_where_they_are(
    folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    studio = Studio(tmp_path / "library", device="cpu", dtype="float32", folders=[folders])
    SHADES.save(tmp_path / "shades.png")
    studio.library.add([tmp_path / "shades.png"])
    recipe = replace(LARGER, upscaler="x4", init=pixel_id(SHADES))
    [alone] = studio.make(recipe)
    assert alone.entry is not None
    assert (alone.entry.model, alone.entry.model_hash) == (None, None)
    assert (alone.entry.settings["upscaler"], alone.entry.encoder_match) == ("x4", None)
    assert "opened" not in vars(studio.model)
    [redrawn] = studio.make(replace(recipe, strength=0.5))
    assert "opened" in vars(studio.model)
    assert redrawn.picture.id != alone.picture.id
    [again] = studio.make(recipe, index=False)
    assert again.picture.id == alone.picture.id
    assert studio.remake(alone.entry.id).id == alone.entry.id
    assert redrawn.picture.recipe.model == "sovgen-mini"


@pytest.mark.parametrize("kind", ["x2", "x4"])
def test_tiles_and_any_size_come_out_as_large_as_asked(
    mini: Model, folders: Path, kind: str
) -> None:
    recipe = replace(LARGER, upscaler=str(folders / kind), upscale=3.0, tile=128)
    picture = draw(mini, recipe, SHADES.resize((72, 50)))
    assert picture.image.size == (216, 152)
    assert picture.recipe.tile == 128


def test_strength_draws_the_details_anew_after_the_model(mini: Model, folders: Path) -> None:
    recipe = replace(LARGER, upscaler=str(folders / "x4"), upscale=2.0, steps=4)
    small = SHADES.resize((32, 32))
    plain, refined = (draw(mini, replace(recipe, strength=s), small) for s in (None, 0.5))
    assert refined.image.size == plain.image.size == (64, 64)
    assert refined.image.tobytes() != plain.image.tobytes()


def test_progress_is_told_and_can_stop_it(mini: Model, folders: Path) -> None:
    def stop(step: int, steps: int, latents: object) -> None:
        raise KeyboardInterrupt

    recipe = replace(LARGER, upscaler=str(folders / "x4"))
    with pytest.raises(KeyboardInterrupt):
        list(generate(mini, [recipe], sources={"shades": SHADES}, on_step=stop))


def test_what_is_no_upscaler_is_refused_before_drawing(
    mini: Model, folders: Path, tmp_path: Path
) -> None:
    with pytest.raises(ModelUnsupported, match="no upscaler"):
        draw(mini, replace(LARGER, upscaler="sovgen-mini"))
    with pytest.raises(ModelMissing):
        draw(mini, replace(LARGER, upscaler="nowhere"))
    foreign = Path(shutil.copytree(folders / "x4", tmp_path / "foreign"))
    index = json.loads((foreign / "model_index.json").read_text())
    (foreign / "model_index.json").write_text(json.dumps({**index, "unet": ["mine", "UNet"]}))
    with pytest.raises(ModelUnsupported, match="own code"):
        draw(mini, replace(LARGER, upscaler=str(foreign)))
    pickled = Path(shutil.copytree(folders / "x4", tmp_path / "pickled"))
    weights = pickled / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(UnsafeWeights):
        draw(mini, replace(LARGER, upscaler=str(pickled)))
