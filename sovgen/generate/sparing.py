"""Sparing: what a recipe asks of the autoencoder when memory is short, so that it works in tiles.

The tiles are diffusers' own, which blend into each other. Their size is part of the recipe, since
pixels differ a little from those that are decoded whole. Knows nothing of how much memory there is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sovgen.models.model import Model
    from sovgen.recipe import Recipe

# Latents that a tile is a multiple of: its overlap, a quarter, and its stride are whole then.
_GRAIN = 8
# Of a tile: with an eighth, as AutoencoderTiny has it, edges are three times as far off.
_OVERLAP = 0.25
# Pixels that autoencoders were trained on, mostly: larger tiles save little.
_LARGEST = 512


def in_tiles(model: Model, recipe: Recipe) -> Recipe:
    """The recipe with tiles of half its size, where it does not say and they are smaller."""
    if recipe.vae_tile is not None or recipe.enlarges_alone:
        return recipe
    grain = _GRAIN * model.cell
    side = max(recipe.width or 0, recipe.height or 0)
    drawn = min(side, recipe.tile or max(model.native_size)) if recipe.upscale else side
    tile = min(-(-drawn // (2 * grain)) * grain, max(_LARGEST, grain))
    return replace(recipe, vae_tile=tile) if tile < drawn else recipe


@contextmanager
def tiled(model: Model, tile: int | None) -> Iterator[None]:
    """Within, what is larger is encoded and decoded in tiles of so many pixels; None: whole."""
    vae: Any = model.pipe.vae
    if tile is None or not hasattr(vae, "enable_tiling"):
        yield
        return
    before = {name: value for name, value in vars(vae).items() if name.startswith("tile_")}
    latents = max(1, tile // (_GRAIN * model.cell)) * _GRAIN
    vae.enable_tiling()
    for name in before:
        setattr(vae, name, _measure(name, latents, model.cell))
    try:
        yield
    finally:
        vae.disable_tiling()
        for name, value in before.items():
            setattr(vae, name, value)


def _measure(name: str, latents: int, cell: int) -> float:
    """What diffusers' autoencoders call the sizes of a tile, some by its height and its width."""
    if name == "tile_overlap_factor":
        return _OVERLAP
    if "latent" in name:
        return latents
    return int(latents * cell * (1 - _OVERLAP)) if "stride" in name else latents * cell
