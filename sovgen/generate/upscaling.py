"""Upscaling by a model that was made for it, tile by tile.

The model's own pipeline reads the prompt and draws each tile, larger, from the tile itself; what it
makes is then brought to the size that was asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sovgen.errors import BrokenPicture
from sovgen.generate.sampling import generators
from sovgen.generate.tiling import Box, blend, tiles
from sovgen.generate.variation import between
from sovgen.models.quiet import libraries_held_back
from sovgen.recipe import MAX_SEED, Recipe

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from sovgen.generate.sampling import OnStep
    from sovgen.models.upscaler import Upscaler


def upscaled(
    upscaler: Upscaler, recipe: Recipe, source: Image.Image, on_step: OnStep | None
) -> Image.Image | BrokenPicture:
    """The RGB source, enlarged by the model and brought to the recipe's size."""
    from PIL import Image

    factor, grain = upscaler.factor, upscaler.grain
    padded = _padded(source, grain)
    size = padded.width * factor, padded.height * factor
    boxes = tiles(size, recipe.tile or max(size), grain * factor)
    noise = _noise(upscaler, size, recipe)
    pieces: list[Image.Image] = []
    for box in boxes:
        piece = _drawn(upscaler, recipe, padded, box, noise, on_step)
        if piece is None:
            return BrokenPicture(
                f"{upscaler.name} gave values that are no numbers.", "Try --dtype float32."
            )
        pieces.append(piece)
    whole = blend(size, boxes, pieces)
    whole = whole.crop((0, 0, source.width * factor, source.height * factor))
    wanted = recipe.width or whole.width, recipe.height or whole.height
    return whole if whole.size == wanted else whole.resize(wanted, Image.Resampling.LANCZOS)


def _drawn(
    upscaler: Upscaler,
    recipe: Recipe,
    source: Image.Image,
    box: Box,
    noise: Tensor,
    on_step: OnStep | None,
) -> Image.Image | None:
    """One tile; None when it holds values that are no numbers."""
    import numpy as np
    import torch
    from PIL import Image

    cells = box.scaled(1 / upscaler.pipe.vae_scale_factor)
    seed = (recipe.seed + box.left + 8191 * box.top) % MAX_SEED
    with torch.inference_mode(), libraries_held_back():
        drawn = upscaler.pipe(
            prompt=recipe.prompt,
            negative_prompt=recipe.negative or None,
            image=source.crop(box.scaled(1 / upscaler.factor).corners),
            num_inference_steps=recipe.steps,
            guidance_scale=recipe.guidance,
            generator=torch.Generator("cpu").manual_seed(seed),
            latents=noise[:, :, cells.top : cells.bottom, cells.left : cells.right],
            output_type="np",
            return_dict=False,
            callback=_told(recipe, on_step),
            callback_steps=1,
        )[0][0]
    if not np.isfinite(drawn).all():
        return None
    return Image.fromarray(np.round(drawn * 255).clip(0, 255).astype(np.uint8))


def _noise(upscaler: Upscaler, size: tuple[int, int], recipe: Recipe) -> Tensor:
    """One for the whole picture, its variation within, so that tiles agree where they overlap."""
    import torch

    pipe, cell = upscaler.pipe, upscaler.pipe.vae_scale_factor
    shape = (1, pipe.vae.config.latent_channels, size[1] // cell, size[0] // cell)
    seeds = [recipe.seed, recipe.variation_seed or 0] if recipe.variation else [recipe.seed]
    drawn, *other = (torch.randn(shape, generator=chance) for chance in generators(seeds))
    if other:
        drawn = between(drawn, other[0], recipe.variation or 0)
    return drawn.to(pipe.device, pipe.unet.dtype)


def _padded(image: Image.Image, grain: int) -> Image.Image:
    """With its right and lower edge drawn out to a multiple of grain."""
    import numpy as np
    from PIL import Image

    right, below = -image.width % grain, -image.height % grain
    if not right and not below:
        return image
    return Image.fromarray(np.pad(np.asarray(image), ((0, below), (0, right), (0, 0)), mode="edge"))


def _told(recipe: Recipe, on_step: OnStep | None) -> Callable[[int, Any, Any], None]:
    def tell(index: int, _: object, latents: Tensor) -> None:
        if on_step:
            on_step(index + 1, recipe.steps or 1, latents)

    return tell
