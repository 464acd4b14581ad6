"""Sampling: seeds become noise, and noise becomes latents.

Noise is drawn for each picture from its own seed, on the CPU, in float32, with unit variance: one
seed is one picture, whatever the device, the dtype and the rest of the batch. Latents have the
shape (n, channels, height / cell, width / cell). Knows nothing of pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sovgen.generate.backend import asked_by
from sovgen.generate.beginning import Beginning, Late
from sovgen.generate.flow import flow_spacing
from sovgen.generate.halves import corrected
from sovgen.generate.listening import listening
from sovgen.generate.packing import pack, unpack
from sovgen.generate.reuse import reused
from sovgen.generate.schedulers import scheduler_of
from sovgen.generate.scoring import scored, told_sizes
from sovgen.generate.showing import showing
from sovgen.generate.steering import first_guidance, rescales_itself
from sovgen.generate.watching import Moment, Watched
from sovgen.models.quiet import libraries_held_back

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from sovgen.generate.conditioning import Conditioning
    from sovgen.generate.encoding import Ground
    from sovgen.generate.equipment import Equipment
    from sovgen.models.model import Model
    from sovgen.recipe import Recipe

OnStep = Callable[[int, int, "Tensor"], None]


def generators(seeds: Sequence[int]) -> list[torch.Generator]:
    """One generator for each picture; samplers that add noise go on drawing from it."""
    import torch

    return [torch.Generator("cpu").manual_seed(seed) for seed in seeds]


def draw_noise(model: Model, width: int, height: int, sources: Sequence[torch.Generator]) -> Tensor:
    """Unit noise, float32, on the model's device; the scheduler scales it."""
    import torch

    shape = (1, model.channels, height // model.cell, width // model.cell)
    rows = [torch.randn(shape, generator=source, dtype=torch.float32) for source in sources]
    return torch.cat(rows).to(model.device)


def denoise(
    model: Model,
    conditioning: Conditioning,
    noise: Tensor,
    sources: list[torch.Generator],
    recipe: Recipe,
    on_step: OnStep | None = None,
    ground: Ground | None = None,
    equipment: Equipment | None = None,
    on_moment: Callable[[Moment], None] | None = None,
    *,
    left: Tensor | None = None,
) -> Tensor:
    """Latents from noise, by diffusers' own pipeline.

    recipe: filled in; its steps, guidance, sampler and size hold for the whole batch
    on_step: called as on_step(i, n, latents) after the i-th of n evaluations; whatever it raises
        stops the drawing
    ground: what the whole batch begins from, in place of noise alone
    equipment: another pipeline than the model's, and what it is called with besides
    on_moment: told before each step what the denoiser was given and what it made of it
    left: what another model has left of the way; the recipe says where. Then the rest is gone
    """
    import numpy as np
    import torch

    pipe = equipment.pipe if equipment else model.pipe
    with (
        torch.inference_mode(),
        np.errstate(divide="ignore"),
        libraries_held_back(),
        asked_by(model, recipe.backend),
        reused(pipe, recipe.cache_interval),
        showing(model.denoiser, ground),
        scored(model, pipe),
        corrected(pipe, model.denoiser, recipe) as handed,
    ):
        scheduler = scheduler_of(model, recipe)
        if on_moment:
            # Within, so that what is told is the answer that is stepped by.
            scheduler = Watched(scheduler, _unpacked(model, recipe, on_moment))
        pipe.scheduler = handed(scheduler)
        beginning = _begin(model, pipe, ground, noise, recipe, left)
        latents = pipe(
            **_texts(conditioning),
            **(equipment.inputs if equipment else {}),
            **model.kind.drawing,
            latents=pack(model, beginning.latents() if beginning else noise),
            generator=sources,
            num_inference_steps=recipe.steps,
            guidance_scale=first_guidance(pipe, recipe),
            **_rescale(pipe, recipe),
            **told_sizes(model),
            width=recipe.width,
            height=recipe.height,
            output_type="latent",
            return_dict=False,
            **listening(model, conditioning, recipe, on_step, beginning),
        )[0]
        return unpack(model, latents, recipe)


def _begin(
    model: Model,
    pipe: Any,  # noqa: ANN401
    ground: Ground | None,
    noise: Tensor,
    recipe: Recipe,
    left: Tensor | None,
) -> Beginning | None:
    """None for what is drawn from noise alone, all the way."""
    if ground is None and recipe.refiner is None:
        return None
    strength = (recipe.strength or 0.0) if ground else 1.0
    share = recipe.refine_from or 0.0
    part = {} if recipe.refiner is None else {"until" if left is None else "since": share}
    pipe.scheduler = late = Late(pipe.scheduler, strength, **part)
    given = flow_spacing(model, recipe)
    return Beginning(late, ground, noise, recipe.steps or 0, strength == 1, given, left)


def _texts(conditioning: Conditioning) -> dict[str, Tensor]:
    named = {
        "prompt_embeds": conditioning.states,
        "negative_prompt_embeds": conditioning.negative_states,
        "pooled_prompt_embeds": conditioning.pooled,
        "negative_pooled_prompt_embeds": conditioning.negative_pooled,
        "prompt_attention_mask": conditioning.mask,
        "negative_prompt_attention_mask": conditioning.negative_mask,
    }
    return {name: rows for name, rows in named.items() if rows is not None}


def _rescale(pipe: Any, recipe: Recipe) -> dict[str, float]:  # noqa: ANN401
    """Nothing where it is off: not every pipeline takes it."""
    if not recipe.guidance_rescale or not rescales_itself(pipe, recipe):
        return {}
    return {"guidance_rescale": recipe.guidance_rescale}


def _unpacked(
    model: Model, recipe: Recipe, on_moment: Callable[[Moment], None]
) -> Callable[[Moment], None]:
    """Moments whose latents have the shape that all others have here."""

    def told(moment: Moment) -> None:
        noisy, predicted = (
            unpack(model, latents, recipe) for latents in (moment.noisy, moment.predicted)
        )
        on_moment(replace(moment, noisy=noisy, predicted=predicted))

    return told
