"""Relatives of a picture: near its seed, near its pixels, and without its ground."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from index.record import pixel_id
from sovgen import Made, Recipe, Studio
from sovgen.errors import BadRecipe
from sovgen.generate.generator import generate
from sovgen.generate.variation import between
from sovgen.variations import near_pixels, near_seed

STAR = Recipe("a yellow star", seed=2, steps=4, guidance=1.0)


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    return Studio(tmp_path_factory.mktemp("relatives") / "library", device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def star(studio: Studio) -> Made:
    [made] = studio.make(STAR)
    return made


def apart(one: Image.Image, other: Image.Image) -> float:
    values = (np.asarray(image.convert("RGB"), float) for image in (one, other))
    return float(np.abs(np.subtract(*values)).mean())


def test_noise_between_keeps_its_strength_and_ends_where_it_should() -> None:
    chance = torch.Generator().manual_seed(0)
    noise, other = (torch.randn(2, 4, 16, 16, generator=chance) for _ in range(2))
    for share in (0.0, 0.3, 0.7, 1.0):
        walked = between(noise, other, share)
        assert walked.std().item() == pytest.approx(1, abs=0.05)
    assert torch.equal(between(noise, other, 0.0), noise)
    assert torch.allclose(between(noise, other, 1.0), other, atol=1e-6)
    assert torch.allclose(between(noise, noise, 0.4), noise)


def test_relatives_by_seed_are_near_and_the_nearer_the_less_they_vary(
    studio: Studio, star: Made
) -> None:
    recipe = studio.recipe_of(star.picture.id)
    far = [
        apart(made.picture.image, star.picture.image)
        for share in (0.0, 0.1, 0.4, 1.0)
        for made in studio.make(near_seed(recipe, share, [77]))
    ]
    assert far[0] == 0
    assert far == sorted(far)
    [other] = studio.make(replace(STAR, seed=77))
    [end] = studio.make(near_seed(recipe, 1.0, [77]))
    assert apart(end.picture.image, other.picture.image) < 1


def test_relatives_of_a_relative_are_near_it_or_refused(studio: Studio, star: Made) -> None:
    [other] = studio.make(near_seed(STAR, 1.0, [77]))
    [near] = studio.make(near_seed(studio.recipe_of(other.picture.id), 0.02, [5]))
    image = near.picture.image
    assert apart(image, other.picture.image) < apart(image, star.picture.image) / 4
    [between_two] = near_seed(STAR, 0.3, [77])
    with pytest.raises(BadRecipe, match="a variation itself") as refused:
        near_seed(between_two, 0.1, [5])
    assert "--strength" in refused.value.hint


def test_relatives_of_an_enlarged_picture_are_pictures_of_their_own(
    studio: Studio, star: Made
) -> None:
    larger = replace(STAR, init=star.picture.id, upscale=2.0, strength=0.5)
    made = list(studio.make([larger, *near_seed(larger, 0.5, [8, 9])]))
    assert len({m.picture.id for m in made}) == 3
    assert studio.remake(made[1].picture.id).image.tobytes() == made[1].picture.image.tobytes()


def test_relatives_by_pixels_are_kept_with_what_they_began_from(studio: Studio, star: Made) -> None:
    recipe = studio.recipe_of(star.picture.id)
    made = list(studio.make(near_pixels(recipe, star.picture.id, 0.5, [8, 9])))
    assert len({m.picture.id for m in made}) == 2
    for one in made:
        assert one.entry is not None
        assert one.entry.settings["init"] == star.picture.id
        assert one.entry.settings["strength"] == 0.5
        again = studio.remake(one.picture.id).image
        values = (np.asarray(image, np.int16) for image in (again, one.picture.image))
        assert np.abs(np.subtract(*values)).max() <= 1


def test_beginning_of_an_id_becomes_the_whole_of_it_in_the_recipe(
    studio: Studio, star: Made
) -> None:
    [made] = studio.make(replace(STAR, init=star.picture.id[:10], strength=0.5))
    assert made.picture.recipe.init == star.picture.id


def test_batch_of_relatives_gives_what_each_gives_alone(studio: Studio, star: Made) -> None:
    recipes = near_seed(studio.recipe_of(star.picture.id), 0.3, [1, 2, 3])
    for together in list(generate(studio.model, recipes, batch=3)):
        [alone] = generate(studio.model, [together.recipe])
        values = (np.asarray(p.image, np.int16) for p in (alone, together))
        assert (np.abs(np.subtract(*values)) <= 1).mean() > 0.999


def test_transparent_picture_is_kept_as_such_and_made_again(studio: Studio) -> None:
    told: list[str] = []
    recipe = Recipe("a heart", seed=2, steps=8, transparent=True)
    [made] = studio.make(recipe, on_notice=told.append)
    assert not told
    with Image.open(made.path) as image:
        assert image.mode == "RGBA"
        assert image.getextrema()[3] == (0, 255)
    assert pixel_id(studio.remake(made.picture.id).image) == made.picture.id


def test_ground_that_is_not_even_stays_and_that_is_said(studio: Studio) -> None:
    told: list[str] = []
    recipe = Recipe("a heart", seed=2, steps=1, guidance=1.0, transparent=True)
    blocks = Image.effect_noise((6, 6), 250).resize((128, 128), Image.Resampling.NEAREST)
    noise = Image.merge("RGB", (blocks, blocks.rotate(90), blocks.rotate(180)))
    begun = replace(recipe, init="noise", strength=0.05, steps=20)
    [picture] = generate(studio.model, [begun], sources={"noise": noise}, on_notice=told.append)
    assert picture.image.mode == "RGB"
    assert told == ["Seed 2: no even ground was found to take away; it stays."]


def test_picture_without_a_recipe_has_no_neighbourhood(studio: Studio, tmp_path: Path) -> None:
    Image.new("RGB", (32, 32), "teal").save(tmp_path / "teal.png")
    [entry] = studio.library.add([tmp_path / "teal.png"]).added
    with pytest.raises(BadRecipe, match="no recorded prompt"):
        studio.recipe_of(entry.id)
