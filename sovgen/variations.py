"""Variations: recipes near the recipe of a picture of the library.

In the neighbourhood of its seed, where only the noise differs a little; or guided by its pixels,
where each begins from the picture itself. Knows no model.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from sovgen.errors import BadRecipe
from sovgen.recipe import Recipe

if TYPE_CHECKING:
    from index import Entry


def near_seed(recipe: Recipe, share: float, seeds: Iterable[int]) -> list[Recipe]:
    """The recipe, its noise `share` (0 to 1) on its way to that of each of the seeds.

    Raises BadRecipe for a picture whose noise lies between those of two seeds: a recipe has room
    for no third.
    """
    if recipe.variation == 1:
        recipe = replace(recipe, seed=recipe.variation_seed or 0)
    elif recipe.variation:
        raise BadRecipe(
            "It is a variation itself: its noise lies between those of two seeds.",
            "Give --strength, to begin from its pixels; or vary the picture that it came from.",
        )
    return [replace(recipe, variation=share, variation_seed=seed) for seed in seeds]


def near_pixels(recipe: Recipe, id: str, strength: float, seeds: Iterable[int]) -> list[Recipe]:
    """The recipe, begun from the picture of that id, once with each of the seeds."""
    begun = replace(begun_from(recipe, id), strength=strength)
    return [replace(begun, seed=seed) for seed in seeds]


def begun_from(recipe: Recipe, id: str) -> Recipe:
    """The recipe, beginning from that picture instead of whatever it began from; size open."""
    return replace(
        recipe,
        init=id,
        strength=None,
        mask=None,
        margins=None,
        upscale=None,
        upscaler=None,
        tile=None,
        variation=None,
        variation_seed=None,
        width=None,
        height=None,
    )


def words_of(entry: Entry) -> Recipe:
    """What is known of how a picture was made, where that is no whole recipe of sovgen's."""
    return Recipe(prompt=entry.prompt or "", negative=entry.negative or "", seed=0)
