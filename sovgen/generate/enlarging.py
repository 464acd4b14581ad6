"""Enlarging: a picture becomes several times as large, and sharp again.

It is scaled by Lanczos' filter, or by an upscaling model, and then drawn anew a little
(`strength`), tile by tile: with one noise for the whole, so that tiles agree where they overlap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from sovgen.errors import BrokenPicture
from sovgen.generate.canvas import lay_canvas, on_white, source_of
from sovgen.generate.conditioning import condition
from sovgen.generate.decoding import decode
from sovgen.generate.encoding import Ground, encode
from sovgen.generate.memory import batch_size
from sovgen.generate.sampling import OnStep, denoise, generators
from sovgen.generate.tiling import Box, blend, tiles
from sovgen.generate.upscaling import upscaled
from sovgen.generate.variation import noise_of
from sovgen.models.upscaler import upscaler_of
from sovgen.recipe import MAX_SEED, Recipe

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from sovgen.generate.conditioning import Conditioning
    from sovgen.models.model import Model

    Sources = Mapping[str, Image.Image]

# A tile so dark before it was drawn may well be nothing but black afterwards.
_DARK = 24


def enlarge(
    model: Model, recipe: Recipe, sources: Sources, on_step: OnStep | None
) -> Image.Image | BrokenPicture:
    """The recipe's `init` in the recipe's size; `recipe` leaves nothing open."""
    canvas = lay_canvas(recipe, sources)
    if canvas is None:
        raise ValueError("a picture to enlarge is a recipe's init")
    image: Image.Image | BrokenPicture = canvas.image
    if recipe.upscaler:
        source = on_white(source_of(sources, str(recipe.init)))
        image = upscaled(upscaler_of(model, recipe.upscaler), recipe, source, on_step)
    if isinstance(image, BrokenPicture) or not recipe.strength:
        return image
    return refined(model, recipe, image, on_step)


def refined(
    model: Model, recipe: Recipe, image: Image.Image, on_step: OnStep | None
) -> Image.Image | BrokenPicture:
    """The picture with its details drawn anew, tile by tile."""
    boxes = tiles(image.size, recipe.tile or max(model.native_size), model.grid)
    whole = replace(recipe, width=image.width, height=image.height)
    noise = noise_of(model, [whole], generators([recipe.seed]))
    width, height = image.crop(boxes[0].corners).size
    of_tile = replace(recipe, width=width, height=height)
    pieces: list[Image.Image] = []
    count = batch_size(model, of_tile)
    for start in range(0, len(boxes), count):
        some = boxes[start : start + count]
        drawn = _drawn(model, of_tile, image, some, noise, on_step)
        for before, after in zip((image.crop(box.corners) for box in some), drawn, strict=True):
            if isinstance(after, BrokenPicture) and not _is_dark(before):
                return after
            pieces.append(before if isinstance(after, BrokenPicture) else after)
    return blend(image.size, boxes, pieces)


def _is_dark(image: Image.Image) -> bool:
    import numpy as np

    return int(np.asarray(image).max()) < _DARK


def _drawn(
    model: Model,
    recipe: Recipe,
    image: Image.Image,
    boxes: Sequence[Box],
    noise: Tensor,
    on_step: OnStep | None,
) -> list[Image.Image | BrokenPicture]:
    """Some tiles, of one size, together."""
    import torch

    latents = torch.cat([encode(model, image.crop(box.corners)) for box in boxes])
    chances = generators([(recipe.seed + box.left + 8191 * box.top) % MAX_SEED for box in boxes])
    pieces = torch.cat([_cut(noise, box.scaled(1 / model.cell)) for box in boxes])
    texts = _texts(model, recipe, len(boxes))
    return decode(
        model, denoise(model, texts, pieces, chances, recipe, on_step, Ground(latents, None))
    )


def _cut(noise: Tensor, box: Box) -> Tensor:
    return noise[:, :, box.top : box.bottom, box.left : box.right]


def _texts(model: Model, recipe: Recipe, count: int) -> Conditioning:
    return condition(
        model,
        [recipe.prompt] * count,
        [recipe.negative] * count,
        guided=model.guidance == "free" and (recipe.guidance or 0) > 1,
        steps=recipe.steps or 1,
        clip_skip=recipe.clip_skip,
    )
