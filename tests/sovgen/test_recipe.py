"""A recipe refuses every bad value by name, and survives the way to JSON and back."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from index.view import COLUMNS
from sovgen.errors import BadRecipe
from sovgen.recipe import MAX_GUIDANCE, MAX_SEED, MAX_SIDE, MAX_STEPS, Recipe
from sovgen.samplers import SAMPLERS
from sovgen.spelling import ALIASES, SCHEDULES

FOX = Recipe("a red fox", seed=7)

recipes = st.builds(
    Recipe,
    prompt=st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])),
    negative=st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])),
    seed=st.integers(0, MAX_SEED),
    model=st.none() | st.just("sovgen-mini"),
    steps=st.none() | st.integers(1, MAX_STEPS),
    guidance=st.none() | st.floats(0, MAX_GUIDANCE),
    width=st.none() | st.integers(8, MAX_SIDE),
    height=st.none() | st.integers(8, MAX_SIDE),
    sampler=st.none() | st.sampled_from([*SAMPLERS, *ALIASES]),
    clip_skip=st.none() | st.integers(1, 24),
    schedule=st.none() | st.sampled_from(tuple(SCHEDULES)),
    init=st.just("a" * 52),
    strength=st.none() | st.floats(0, 1),
    margins=st.none() | st.just("0,8,16,0"),
    transparent=st.none() | st.booleans(),
    loras=st.lists(st.sampled_from(["clipart:0.8", "line"])).map(tuple),
)


@given(recipes)
def test_recipe_survives_json(recipe: Recipe) -> None:
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("prompt", None, "must be text"),
        ("prompt", "a\x00b", "NUL"),
        ("negative", 3, "must be text"),
        ("seed", -1, "out of range"),
        ("seed", MAX_SEED + 1, "out of range"),
        ("seed", 1.5, "whole number"),
        ("seed", True, "whole number"),
        ("steps", 0, "out of range"),
        ("steps", MAX_STEPS + 1, "out of range"),
        ("guidance", -0.1, "out of range"),
        ("guidance", float("nan"), "out of range"),
        ("guidance", MAX_GUIDANCE + 1, "out of range"),
        ("guidance", "7", "must be a number"),
        ("width", 0, "out of range"),
        ("height", MAX_SIDE + 1, "out of range"),
        ("sampler", "dpm++ 2n", "no sampler"),
        ("sampler", 3, "must be text"),
        ("model", 3, "must be text"),
        ("device", "", "empty"),
        ("clip_skip", 0, "out of range"),
        ("schedule", "linear", "no schedule"),
        ("strength", 1.5, "out of range"),
        ("variation_seed", -1, "out of range"),
        ("margins", "1,2,3", "four numbers"),
        ("margins", "0,0,0,0", "four numbers"),
        ("margins", "00,0,8,0", "four numbers"),
        ("transparent", 1, "true or false"),
        ("loras", ["clipart"], "must be a list"),
        ("loras", ("",), "empty"),
    ],
)
def test_bad_value_is_refused_by_name(field: str, value: object, says: str) -> None:
    with pytest.raises(BadRecipe, match=says) as caught:
        replace(FOX, **{field: value})  # type: ignore[arg-type]
    assert field.replace("_", " ") in str(caught.value)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("strength", 0.5, "a picture to begin from"),
        ("mask", "abcd", "a picture to begin from"),
        ("margins", "0,0,8,0", "a picture to begin from"),
        ("upscale", 2.0, "a picture to begin from"),
        ("tile", 64, "upscale"),
        ("upscaler", "x4", "upscale"),
        ("variation", 0.1, "variation seed"),
        ("variation_seed", 3, "variation"),
        ("control", "edges", "a picture to follow"),
        ("control_image", "abcd", "a ControlNet"),
        ("control_weight", 1.0, "a ControlNet"),
        ("adapter", "looks", "a picture to look at"),
        ("reference", ("abcd",), "an IP-Adapter"),
    ],
)
def test_half_a_setting_is_refused_with_what_it_lacks(field: str, value: object, says: str) -> None:
    with pytest.raises(BadRecipe, match=says) as caught:
        replace(FOX, **{field: value})  # type: ignore[arg-type]
    assert caught.value.hint


def test_unknown_field_is_refused_and_the_known_are_named() -> None:
    with pytest.raises(BadRecipe, match="stepz") as caught:
        Recipe.from_dict({"prompt": "a fox", "stepz": 3})
    assert "steps" in caught.value.hint


def test_missing_prompt_is_refused() -> None:
    with pytest.raises(BadRecipe, match="prompt"):
        Recipe.from_dict({"seed": 1})


def test_two_schedules_in_one_recipe_are_refused() -> None:
    with pytest.raises(BadRecipe, match="already has the schedule karras") as caught:
        Recipe("a fox", sampler="Euler Karras", schedule="beta")
    assert "euler with --schedule beta" in caught.value.hint
    assert Recipe("a fox", sampler="Euler Karras", schedule="automatic").sampler == "Euler Karras"


def test_every_field_has_a_column_of_its_own_in_libraries() -> None:
    assert {field.name for field in fields(Recipe)} <= set(COLUMNS)
