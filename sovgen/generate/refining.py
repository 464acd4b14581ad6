"""Refining: a second model takes the latent over before it is clean, and finishes it.

As diffusers' `denoising_end` and `denoising_start`: a share of the noise schedule is the first
model's, the rest is the refiner's, which reads the same words by towers of its own. No noise is
added in between. Knows nothing of pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from sovgen.errors import BadRecipe
from sovgen.generate.beginning import Late
from sovgen.generate.conditioning import condition
from sovgen.generate.sampling import OnStep, denoise
from sovgen.generate.schedulers import scheduler_of
from sovgen.models.refiner import refiner_of

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from sovgen.generate.encoding import Ground
    from sovgen.models.model import Model
    from sovgen.recipe import Recipe


def check_refiner(model: Model, recipe: Recipe) -> None:
    """Raise ModelUnsupported or BadRecipe unless a filled recipe's refiner can take over."""
    if recipe.refiner is None:
        return
    if recipe.upscale:
        raise BadRecipe("Enlarging takes no refiner.", "Refine with --from and --model instead.")
    refiner = refiner_of(model, recipe.refiner)
    scheduler_of(refiner, recipe)
    late = Late(scheduler_of(model, recipe), _strength(recipe), until=recipe.refine_from or 0.0)
    late.set_timesteps(recipe.steps)
    taken, total = len(late.timesteps), late.total
    if 0 < taken < total:
        return
    lost = model.name if taken == 0 else refiner.name
    raise BadRecipe(
        f"A refiner from {recipe.refine_from:g} of the way on leaves none of {total} steps to "
        f"{lost}.",
        "Give another --refine-from, or more steps.",
    )


def refine(
    model: Model,
    recipes: Sequence[Recipe],
    latents: Tensor,
    noise: Tensor,
    chances: list[torch.Generator],
    ground: Ground | None,
    on_step: OnStep | None,
) -> Tensor:
    """The latents that `model` left, finished by the refiner of the batch.

    noise, chances: those that the batch was begun with
    """
    first = recipes[0]
    refiner = refiner_of(model, str(first.refiner))
    texts = condition(
        refiner,
        [recipe.prompt for recipe in recipes],
        [recipe.negative for recipe in recipes],
        guided=(first.guidance or 0) > 1,
        steps=first.steps or 1,
        clip_skip=first.clip_skip,
    )
    # A refiner is not shown what is around a mask: what that protects is put back for it.
    held = replace(ground, around=None) if ground else None
    return denoise(refiner, texts, noise, chances, first, on_step, held, left=latents)


def _strength(recipe: Recipe) -> float:
    return 1.0 if recipe.strength is None else recipe.strength
