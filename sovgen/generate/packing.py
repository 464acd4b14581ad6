"""Packing: latents as the denoiser takes them, and back.

Everywhere else latents are (n, channels, height / cell, width / cell); FLUX's denoiser takes a
token for every 2 x 2 cells. Knows nothing of steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from sovgen.models.model import Model
    from sovgen.recipe import Recipe


def pack(model: Model, latents: Tensor) -> Tensor:
    """For FLUX (n, tokens, 4 * channels), else the same."""
    if model.kind.packed == 1:
        return latents
    packed: Tensor = model.pipe._pack_latents(latents, *latents.shape)
    return packed


def unpack(model: Model, latents: Tensor, recipe: Recipe) -> Tensor:
    """The inverse of `pack`, for latents of the recipe's size."""
    if model.kind.packed == 1:
        return latents
    unpacked: Tensor = model.pipe._unpack_latents(latents, recipe.height, recipe.width, model.cell)
    return unpacked
