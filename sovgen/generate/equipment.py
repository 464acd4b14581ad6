"""Equipment: how the pipeline of a batch is called, once the model has its additions.

Knows the recipe's pictures and weights; knows nothing of noise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sovgen.errors import BadRecipe
from sovgen.models.additions import controlnet, imageprompt
from sovgen.models.additions.equipping import check_additions, equip
from sovgen.models.additions.wanted import Additions, find_additions
from sovgen.models.upscaler import upscaler_of
from sovgen.weighted import split_weight

if TYPE_CHECKING:
    from PIL import Image

    from sovgen.models.model import Model
    from sovgen.recipe import Recipe

    Sources = Mapping[str, Image.Image]


@dataclass(frozen=True)
class Equipment:
    """The pipeline to call, and what to call it with besides."""

    pipe: Any
    inputs: Mapping[str, Any] = field(default_factory=dict)


def additions_of(model: Model, recipe: Recipe, sources: Sources) -> Additions:
    """The recipe's additions, each checked against the model, and its pictures against `sources`.

    Raises BadRecipe, ModelMissing, ModelUnsupported, ModelDamaged and UnsafeWeights.
    """
    if recipe.upscale and (recipe.control or recipe.adapter):
        raise BadRecipe(
            "Enlarging goes by tiles, which follow no ControlNet and look at no references.",
            "Leave them out.",
        )
    additions = find_additions(recipe, model.folders)
    check_additions(model, additions)
    if recipe.upscaler:
        upscaler_of(model, recipe.upscaler)
    if len(_references(recipe)) < len(recipe.reference):
        raise BadRecipe("One reference is given twice.", "Give it once, with a larger weight.")
    for id in (*filter(None, [recipe.control_image]), *_references(recipe)):
        if id not in sources:
            raise BadRecipe(f"The picture {id} is not at hand.", "Give it among the sources.")
    return additions


def equip_for(
    model: Model, recipe: Recipe, additions: Additions, sources: Sources, guided: bool
) -> Equipment:
    """Let the model have the additions, and say how it is called then.

    recipe: filled in; guided: whether a negative is drawn beside
    """
    references = _references(recipe)
    equip(model, additions, len(references))
    pipe, inputs = model.pipe, dict[str, Any]()
    if recipe.control_image:
        pipe = controlnet.pipeline_with(model, model.equipped["control"].made)
        followed = sources[recipe.control_image].convert("RGB")
        inputs["image"] = followed.resize((recipe.width or 0, recipe.height or 0))
        inputs["controlnet_conditioning_scale"] = recipe.control_weight
    if references:
        model.pipe.set_ip_adapter_scale(list(references.values()))
        seen, prompt = [sources[id] for id in references], model.equipped["adapter"].made
        inputs["ip_adapter_image_embeds"] = imageprompt.look_at(model, prompt, seen, guided)
    return Equipment(pipe, inputs)


def _references(recipe: Recipe) -> dict[str, float]:
    """The ids of the pictures to look at, and the weight of each."""
    return dict(split_weight(text) for text in recipe.reference)
