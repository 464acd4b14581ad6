"""Variation: noise in the neighbourhood of other noise, so that a picture has near relatives.

The way from one picture's noise to another's is walked on the sphere that both lie near, as A1111's
variation seed does, since the straight way between them leads through noise that is too weak.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sovgen.generate.sampling import draw_noise, generators

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Generator, Tensor

    from sovgen.models.model import Model
    from sovgen.recipe import Recipe


def noise_of(model: Model, recipes: Sequence[Recipe], chances: list[Generator]) -> Tensor:
    """The noise that recipes of one size begin from, their variations within."""
    size = recipes[0].width or 0, recipes[0].height or 0
    noise = draw_noise(model, *size, chances)
    share = recipes[0].variation
    if not share:
        return noise
    others = generators([recipe.variation_seed or 0 for recipe in recipes])
    return between(noise, draw_noise(model, *size, others), share)


def between(noise: Tensor, other: Tensor, share: float) -> Tensor:
    """Noise (n, channels, height, width) that is `share`, 0 to 1, on its way to the other."""
    import torch

    first, second = noise.flatten(1), other.flatten(1)
    cosine = torch.nn.functional.cosine_similarity(first, second).clamp(-1, 1)
    angle = torch.acos(cosine)[:, None]
    parts = torch.sin((1 - share) * angle) * first + torch.sin(share * angle) * second
    near = angle < 1e-3
    walked = torch.where(near, torch.lerp(first, second, share), parts / torch.sin(angle))
    return walked.view_as(noise)
