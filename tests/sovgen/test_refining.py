"""SDXL's refiner, as a model and as a second stage: what diffusers' own pipelines draw."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diffusers import StableDiffusionXLImg2ImgPipeline, StableDiffusionXLPipeline
from numpy.typing import NDArray
from PIL import Image

from sovgen.errors import BadRecipe, ModelUnsupported
from sovgen.generate.encoding import encode
from sovgen.generate.generator import generate
from sovgen.generate.sampling import generators
from sovgen.generate.schedulers import build_scheduler
from sovgen.models.load import Model, load_model
from sovgen.recipe import Recipe
from tests import tiny
from tests.single_file import save_single
from tests.sovgen.scenes import SHADES, disc

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning:diffusers"),
]

FOX = Recipe("a fox", "a dog", seed=5, steps=5, guidance=3.0, width=64, height=64, sampler="euler")
SOURCES = {"shades": SHADES, "disc": disc()}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("refiners")
    tiny.sdxl().save_pretrained(folder / "base")
    pipe = tiny.refiner()
    pipe.save_pretrained(folder / "refiner")
    save_single(pipe, folder / "single.safetensors")
    return folder


@pytest.fixture(scope="module")
def base(root: Path) -> Model:
    return load_model(root / "base", "cpu", "float32", folders=[root])


@pytest.fixture(scope="module")
def refiner(root: Path) -> Model:
    return load_model(root / "refiner", "cpu", "float32")


def pixels(image: Image.Image) -> NDArray[np.int16]:
    return np.asarray(image.convert("RGB")).astype(np.int16)


def drawn(model: Model, *recipes: Recipe, **given: Any) -> list[NDArray[np.int16]]:  # noqa: ANN401
    return [pixels(p.image) for p in generate(model, recipes, sources=SOURCES, **given)]


def theirs(pipe: Any, model: Model, recipe: Recipe, **given: object) -> Any:  # noqa: ANN401
    """What diffusers' own pipeline makes of the recipe's words."""
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = build_scheduler(str(recipe.sampler), model.own_scheduler)
    return pipe(
        recipe.prompt,
        negative_prompt=recipe.negative,
        num_inference_steps=recipe.steps,
        guidance_scale=recipe.guidance,
        generator=generators([recipe.seed]),
        **given,
    ).images


@pytest.mark.parametrize("name", ["base", "refiner"])
@pytest.mark.parametrize("sampler", ["euler", "dpm++ 2m karras", "euler a"])
def test_a_picture_is_redrawn_as_diffusers_image_to_image_does(
    root: Path, base: Model, refiner: Model, name: str, sampler: str
) -> None:
    model, build = {"base": (base, tiny.sdxl), "refiner": (refiner, tiny.refiner)}[name]
    recipe = replace(FOX, sampler=sampler, init="shades", strength=0.6)
    pipe = StableDiffusionXLImg2ImgPipeline(
        **build().components, requires_aesthetics_score=name == "refiner", add_watermarker=False
    )
    begun = encode(model, SHADES)
    [plain] = theirs(pipe, model, recipe, image=begun, strength=0.6)
    [ours] = drawn(model, recipe)
    assert np.abs(ours - pixels(plain)).max() <= 1


@pytest.mark.parametrize("sampler", ["euler", "dpm++ 2m karras"])
def test_a_refiner_finishes_what_the_base_began_as_diffusers_does(
    base: Model, sampler: str
) -> None:
    recipe = replace(FOX, sampler=sampler)
    pipe = StableDiffusionXLPipeline(**tiny.sdxl().components, add_watermarker=False)
    size = {"width": 64, "height": 64}
    latents = theirs(pipe, base, recipe, denoising_end=0.6, output_type="latent", **size)
    second = tiny.refiner()
    [plain] = theirs(second, base, recipe, denoising_start=0.6, image=latents)
    [ours] = drawn(base, replace(recipe, refiner="refiner", refine_from=0.6))
    [alone] = drawn(base, recipe)
    assert np.abs(ours - alone).max() > 1
    assert np.abs(ours - pixels(plain)).max() <= 1


@pytest.mark.parametrize("sampler", ["heun", "dpm2 a", "pndm", "dpm++ 2s"])
def test_a_sampler_of_several_evaluations_hands_over_between_whole_steps(
    base: Model, sampler: str
) -> None:
    seen: list[tuple[int, int]] = []
    recipe = replace(FOX, sampler=sampler, steps=5, refiner="base", refine_from=0.5)
    [handed] = drawn(base, recipe, on_step=lambda i, n, _: seen.append((i, n)))
    assert [i for i, _ in seen] == list(range(1, seen[0][1] + 1))
    [whole] = drawn(base, replace(recipe, refiner=None, refine_from=None))
    if sampler == "heun":
        # It remembers within a step, and nothing between steps.
        assert np.abs(handed - whole).max() <= 1


def test_the_same_model_as_its_own_refiner_changes_nothing(base: Model) -> None:
    recipe = replace(FOX, sampler="euler", prompt="[a fox|a house] (red:1.3)", guidance_from=0.3)
    handed = replace(recipe, refiner="base", refine_from=0.5)
    for start in ({}, {"init": "shades", "strength": 0.9}, {"init": "shades", "mask": "disc"}):
        [whole], [parted] = (drawn(base, replace(r, **start)) for r in (recipe, handed))
        assert np.abs(whole - parted).max() <= 1, start


def test_a_batch_is_what_each_alone_is(base: Model, refiner: Model) -> None:
    second = [replace(FOX, seed=s, refiner="refiner", guidance_from=0.2) for s in (1, 2, 3)]
    only = [replace(FOX, seed=s, init="shades", strength=0.5) for s in (1, 2, 3)]
    for model, recipes in ((base, second), (refiner, only)):
        together, alone = drawn(model, *recipes, batch=3), drawn(model, *recipes, exact=True)
        assert max(np.abs(a - b).max() for a, b in zip(together, alone, strict=True)) <= 1


def test_a_single_file_refines_as_its_folder_does(base: Model, root: Path) -> None:
    file = str(root / "single.safetensors")
    [one], [other] = (drawn(base, replace(FOX, refiner=r)) for r in (file, "refiner"))
    assert np.abs(one - other).max() <= 1
    single = load_model(file, "cpu", "float32")
    assert single.family == "Stable Diffusion XL refiner"
    assert single.pipe.config.force_zeros_for_empty_prompt is False


def test_the_recipe_is_filled_and_names_what_refined(base: Model, root: Path) -> None:
    [picture] = generate(base, [replace(FOX, refiner=str(root / "refiner"))])
    assert (picture.recipe.refiner, picture.recipe.refine_from) == ("refiner", 0.8)
    [(name, sum_)] = picture.additions["refiner"].items()
    assert name == "refiner"
    assert len(sum_) == 16


def test_a_refiner_begins_no_picture(refiner: Model) -> None:
    with pytest.raises(BadRecipe, match="cannot begin one") as caught:
        generate(refiner, [FOX])
    assert "--refiner" in caught.value.hint
    [picture] = generate(refiner, [replace(FOX, init="shades")], sources=SOURCES)
    assert picture.recipe.strength == 0.3


def test_shares_that_leave_a_model_nothing_are_refused(base: Model) -> None:
    for share, lost in ((1.0, "refiner"), (0.0, "base")):
        with pytest.raises(BadRecipe, match=f"none of 5 steps to {lost}"):
            generate(base, [replace(FOX, refiner="refiner", refine_from=share)])
    with pytest.raises(BadRecipe, match="needs a refiner"):
        replace(FOX, refine_from=0.5)


def test_a_model_of_another_latent_refines_nothing(
    base: Model, tiny_models: Path, tiny_transformers: Path
) -> None:
    with pytest.raises(ModelUnsupported, match=r"latent.*0\.18215 and .*0\.13025"):
        generate(base, [replace(FOX, refiner=str(tiny_models / "sd1"))])
    with pytest.raises(ModelUnsupported, match="hands no picture on"):
        generate(base, [replace(FOX, refiner=str(tiny_transformers / "sd3"))])
