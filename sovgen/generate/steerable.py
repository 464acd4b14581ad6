"""What can be steered: settings that not every model can obey, refused before anything is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sovgen.errors import BadRecipe
from sovgen.generate.halves import renoises
from sovgen.generate.steering import Interval, rescales_itself
from sovgen.generate.texts import layers, reads_language

if TYPE_CHECKING:
    from sovgen.models.model import Model
    from sovgen.recipe import Recipe


def refuse_unsteerable(model: Model, recipe: Recipe) -> None:
    """Raise BadRecipe for a steering setting that the model, or the rest of the recipe, defies."""
    _refuse_clip_skip(model, recipe)
    _refuse_interval(model, recipe)
    has_halves = model.guidance == "free" or rescales_itself(model.pipe, recipe)
    if recipe.guidance_rescale and not has_halves:
        raise _defies(model, "guidance rescale")
    if renoises(recipe) and model.guidance != "free":
        raise BadRecipe(
            f"The sampler {recipe.sampler} does not fit {model.name}, which was distilled to draw "
            "without a negative half.",
            "Use ddim.",
        )


def _refuse_clip_skip(model: Model, recipe: Recipe) -> None:
    if recipe.clip_skip is None:
        return
    if not reads_language(model.pipe):
        raise _defies(model, "clip skip")
    if recipe.clip_skip > (most := layers(model.pipe)):
        raise BadRecipe(
            f"A clip skip of {recipe.clip_skip} leaves {model.name} no layer.",
            f"Give one from 1 to {most}.",
        )


def _refuse_interval(model: Model, recipe: Recipe) -> None:
    interval = Interval.of(recipe)
    if interval == Interval():
        return
    if not reads_language(model.pipe) or model.guidance != "free":
        raise _defies(model, "interval of guidance")
    if interval.since >= interval.until:
        raise BadRecipe(
            f"Guidance from {interval.since:g} until {interval.until:g} never acts.",
            "Let it end after it begins, or turn it off with a guidance of 1.",
        )


def _defies(model: Model, what: str) -> BadRecipe:
    return BadRecipe(f"{model.family} models know no {what}.", "Leave it out.")
