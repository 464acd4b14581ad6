"""Choosing: the pictures that are most true to their prompts are kept, and the others named."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from PIL import Image

from sovgen.choosing import Choice, choose
from sovgen.picture import Picture
from sovgen.recipe import Recipe

TRUTH = {1: 0.1, 2: 0.4, 3: 0.2, 4: 0.3}
RECIPES = [Recipe(prompt, seed=seed) for prompt in ("a cat", "a dog") for seed in TRUTH]


def chosen(choice: Choice, recipes: Sequence[Recipe]) -> tuple[list[int], list[str], int]:
    drawn: list[Recipe] = []
    told: list[str] = []

    def draw(some: Sequence[Recipe]) -> Iterator[Picture]:
        for recipe in some:
            drawn.append(recipe)
            yield Picture(Image.new("RGB", (8, 8)), recipe, "0" * 16)

    kept = choose(choice, recipes, draw, lambda p: TRUTH[p.recipe.seed], told.append)
    return [picture.recipe.seed for picture in kept], told, len(drawn)


def test_best_of_many_are_kept_for_each_prompt() -> None:
    seeds, told, _ = chosen(Choice(keep=2, drawn=4), RECIPES)
    assert seeds == [2, 4, 2, 4]
    assert told[0] == "Kept seed 2 (0.400), seed 4 (0.300); dropped seed 1 (0.100), seed 3 (0.200)."


def test_drawing_stops_when_enough_are_true() -> None:
    seeds, told, drawn = chosen(Choice(keep=1, drawn=4, until=0.4), RECIPES[:4])
    assert (seeds, drawn) == ([2], 2)
    assert told == ["Kept seed 2 (0.400); dropped seed 1 (0.100)."]


def test_best_stand_in_where_too_few_are_true() -> None:
    seeds, told, drawn = chosen(Choice(keep=2, drawn=4, until=0.35), RECIPES[:4])
    assert (seeds, drawn) == ([2, 4], 4)
    assert told[0] == "Of 4 pictures 1 reached an adherence of 0.35."
