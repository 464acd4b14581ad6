"""Fitting: the size of a picture that begins from another one, on the model's grid.

Knows the recipe's size and margins and the source's; knows nothing of pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import sqrt
from typing import TYPE_CHECKING

from index.counting import counted
from sovgen.errors import BadRecipe
from sovgen.generate.canvas import is_cropped_alone, margins_of, source_of
from sovgen.recipe import Recipe

if TYPE_CHECKING:
    from PIL import Image

    from sovgen.models.model import Model

    Size = tuple[int, int]

# How much of the source is drawn anew where the recipe does not say: as much as still resembles it;
# all of what a mask shows; so much of margins that what they border on goes on in them; as little
# as sharpens what was enlarged.
STRENGTH, STRENGTH_WITHIN, STRENGTH_AROUND, STRENGTH_ENLARGED = 0.75, 1.0, 0.8, 0.3
# A refiner learnt the last fifth of the noise alone.
STRENGTH_REFINED = 0.3
# Upscalers were trained on pictures of so many pixels across and down.
_UPSCALER_TILE = 512
# A source is drawn in its own size unless it has so many times the model's own pixels, or so few.
_FACTOR = 4


def fit(
    model: Model, recipe: Recipe, sources: Mapping[str, Image.Image]
) -> tuple[Recipe, list[str]]:
    """The recipe with its size, margins and strength settled, and what was changed, as sentences.

    Raises BadRecipe when no step would be taken, or a picture is not among the sources.
    """
    if recipe.init is None:
        return recipe, []
    _refuse_rivals(recipe)
    source = source_of(sources, recipe.init).size
    margins = [_up(side, model.grid) for side in margins_of(recipe)]
    grown = (margins[0] + margins[2], margins[1] + margins[3])
    inner = _inner(model, recipe, source)
    fitted = replace(
        recipe,
        width=recipe.width or inner[0] + grown[0],
        height=recipe.height or inner[1] + grown[1],
        margins=",".join(map(str, margins)) if recipe.margins else None,
        strength=_strength(model, recipe),
        tile=_tile(model, recipe),
    )
    _refuse_no_step(model, fitted)
    inner = (fitted.width or 0) - grown[0], (fitted.height or 0) - grown[1]
    return fitted, _told(recipe, fitted, source, inner) + _mask_told(recipe, sources, source)


def _refuse_rivals(recipe: Recipe) -> None:
    rivals = [name for name in ("mask", "margins", "upscale") if getattr(recipe, name)]
    if len(rivals) > 1:
        raise BadRecipe(f"{' and '.join(rivals).capitalize()} do not go together.", "Give one.")


def _strength(model: Model, recipe: Recipe) -> float | None:
    if recipe.strength is not None or recipe.upscaler:
        return recipe.strength
    if recipe.upscale:
        return STRENGTH_ENLARGED
    if not model.kind.begins:
        return STRENGTH_REFINED
    if recipe.mask or model.takes_mask:
        return STRENGTH_WITHIN
    return STRENGTH_AROUND if recipe.margins else STRENGTH


def _tile(model: Model, recipe: Recipe) -> int | None:
    """What the model draws best at once."""
    if recipe.upscale is None:
        return None
    usual = _UPSCALER_TILE if recipe.upscaler else max(model.native_size)
    return (recipe.tile or usual) // model.grid * model.grid


def _inner(model: Model, recipe: Recipe, source: Size) -> Size:
    """The source's own size on the grid, when nothing else was asked for."""
    grid = model.grid
    if recipe.upscale:
        return _nearest(source, recipe.upscale, grid)
    if recipe.mask or recipe.margins:
        # Cropped, not scaled, so that every pixel that stays is one of the source's.
        return max(grid, source[0] // grid * grid), max(grid, source[1] // grid * grid)
    own, pixels = model.native_size[0] * model.native_size[1], source[0] * source[1]
    if own / _FACTOR <= pixels <= own * _FACTOR:
        return _nearest(source, 1.0, grid)
    return _nearest(source, sqrt(own / pixels), grid)


def _nearest(size: Size, scale: float, grid: int) -> Size:
    width, height = (max(grid, round(side * scale / grid) * grid) for side in size)
    return width, height


def _up(side: int, grid: int) -> int:
    return -(-side // grid) * grid


def _refuse_no_step(model: Model, recipe: Recipe) -> None:
    steps = recipe.steps or model.defaults.steps
    if recipe.strength is not None and int(steps * recipe.strength) < 1:
        raise BadRecipe(
            f"A strength of {recipe.strength:g} leaves none of {counted(steps, 'step')} to take.",
            f"Give a strength from {_up_to_a_step(steps):g}, or more steps.",
        )


def _up_to_a_step(steps: int) -> float:
    """The least strength, of three digits, that leaves one of the steps."""
    return next(s for s in (n / 1000 for n in range(1, 1001)) if int(steps * s) >= 1)


def _told(asked: Recipe, fitted: Recipe, source: Size, inner: Size) -> list[str]:
    told = []
    if asked.upscale is None and source != inner:
        cut = "cropped" if is_cropped_alone(source, inner) else "scaled and cropped"
        told.append(f"The picture is {source[0]}x{source[1]}: {cut} to {inner[0]}x{inner[1]}.")
    if fitted.margins != asked.margins:
        told.append(f"The margins {asked.margins} are off the model's grid: {fitted.margins}.")
    return told


def _mask_told(recipe: Recipe, sources: Mapping[str, Image.Image], source: Size) -> list[str]:
    if recipe.mask is None or (mask := source_of(sources, recipe.mask).size) == source:
        return []
    return [f"The mask is {mask[0]}x{mask[1]}: scaled to the picture's {source[0]}x{source[1]}."]
