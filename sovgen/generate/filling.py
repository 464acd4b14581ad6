"""Filling: a recipe and a loaded model become a recipe that leaves nothing open.

What can be refused once the model is known is refused here, before anything is drawn. Knows
nothing of tensors.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sovgen.errors import BadRecipe
from sovgen.generate.backend import refuse_backend
from sovgen.generate.steerable import refuse_unsteerable
from sovgen.models.upscaler import dtype_beside
from sovgen.recipe import MAX_SIDE, REFINE_FROM, Recipe
from sovgen.samplers import along_flow, is_flow
from sovgen.spelling import settle
from sovgen.weighted import split_weight, with_weight

if TYPE_CHECKING:
    from sovgen.models.model import Model


def fill(model: Model, recipe: Recipe) -> Recipe:
    """The recipe with every None replaced by the model's default, and model, device and dtype by
    what they really are. What an upscaler makes by itself is of no model. The backend stays open:
    it depends on how much there is to draw.

    Raises BadRecipe for a size off the model's grid, and for a setting that the model cannot obey.
    """
    _refuse_reuse(model, recipe)
    refuse_backend(model, recipe)
    _refuse_unbegun(model, recipe)
    width, height = model.native_size
    sampler, schedule = _sampler(model, recipe)
    alone = recipe.enlarges_alone
    filled = replace(
        recipe,
        model=None if alone else model.name,
        device=model.device,
        dtype=dtype_beside(model) if alone else model.dtype,
        steps=recipe.steps or model.defaults.steps,
        guidance=_guidance(model, recipe),
        width=recipe.width or width,
        height=recipe.height or height,
        sampler=sampler,
        schedule=schedule,
        refine_from=_refine_from(recipe),
        control_weight=_weight_of_control(recipe),
        reference=tuple(with_weight(*split_weight(text)) for text in recipe.reference),
    )
    if not alone:
        _refuse_off_grid(model, filled)
        _refuse_beyond(model, filled)
        refuse_unsteerable(model, filled)
    return filled


def _sampler(model: Model, recipe: Recipe) -> tuple[str, str | None]:
    """Its name and its schedule, written in the one way in which recipes are kept."""
    own = model.configs["scheduler"]
    name, schedule = settle(recipe.sampler, recipe.schedule, model.defaults.sampler)
    flow = is_flow(str(own.get("_class_name")), own)
    return along_flow(name) if flow else name, schedule


def _refine_from(recipe: Recipe) -> float | None:
    return REFINE_FROM if recipe.refiner and recipe.refine_from is None else recipe.refine_from


def _weight_of_control(recipe: Recipe) -> float | None:
    if recipe.control and recipe.control_weight is None:
        return 1.0
    return recipe.control_weight


def _refuse_unbegun(model: Model, recipe: Recipe) -> None:
    if not model.kind.begins and recipe.init is None:
        raise BadRecipe(
            f"{model.name} is an SDXL refiner: it finishes pictures, it cannot begin one.",
            "Give a picture with --from, or the refiner with --refiner beside another model.",
        )
    if model.takes_mask and not (recipe.mask or recipe.margins):
        other = "Give the picture with --from, and the hole with --mask or --extend."
        raise BadRecipe(
            f"{model.name} is made for inpainting: it fills a hole in a picture.",
            "Name another model with --model." if recipe.upscale else other,
        )


def _refuse_reuse(model: Model, recipe: Recipe) -> None:
    if recipe.cache_interval is not None and model.kind.denoiser != "unet":
        raise BadRecipe(
            f"{model.name} has no U-Net, whose deep features a cache interval takes again.",
            "Leave the cache interval out.",
        )


def _guidance(model: Model, recipe: Recipe) -> float:
    if model.guidance == "none" or recipe.guidance is None:
        return float(model.defaults.guidance)
    return float(recipe.guidance)


def differences(model: Model, asked: Recipe) -> list[str]:
    """What was asked for and cannot be had from the model that is loaded, as sentences."""
    if asked.enlarges_alone:
        return []
    told = [
        f"The recipe asks for {field} {want}; {have} is what the model was loaded with, "
        "so pixels may differ a little."
        for field in ("device", "dtype")
        if (want := getattr(asked, field)) not in (None, have := getattr(model, field))
    ]
    if model.guidance == "none" and asked.guidance not in (None, model.defaults.guidance):
        told.append(
            f"{model.name} was distilled to draw without guidance: "
            f"the guidance {asked.guidance:g} changes nothing."
        )
    if model.guidance != "free" and asked.negative:
        told.append(
            f"The guidance of {model.name} is distilled into its weights, so that it reads no "
            "negative: yours changes nothing."
        )
    return told


def _refuse_off_grid(model: Model, recipe: Recipe) -> None:
    width, height, grid = recipe.width or 0, recipe.height or 0, model.grid
    if width % grid == 0 and height % grid == 0:
        return
    near = f"{_nearest(width, grid)}x{_nearest(height, grid)}"
    raise BadRecipe(
        f"The size {width}x{height} is off the grid of {model.name}: its sides are multiples of "
        f"{grid}.",
        f"The nearest are {_around(width, grid)} wide and {_around(height, grid)} high: "
        f"try {near}.",
    )


def _refuse_beyond(model: Model, recipe: Recipe) -> None:
    if model.largest_side and max(recipe.width or 0, recipe.height or 0) > model.largest_side:
        raise BadRecipe(
            f"The size {recipe.width}x{recipe.height} is beyond {model.name}, which knows "
            f"positions up to {model.largest_side} pixels.",
            f"Draw at {model.largest_side}x{model.largest_side} or smaller, then --upscale.",
        )


def _nearest(side: int, grid: int) -> int:
    return min(max(grid, round(side / grid) * grid), MAX_SIDE // grid * grid)


def _around(side: int, grid: int) -> str:
    below = side // grid * grid
    sides = {side} if below == side else {max(below, grid), below + grid}
    return " or ".join(str(s) for s in sorted(sides))
