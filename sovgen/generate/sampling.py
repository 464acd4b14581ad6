"""Sampling: seeds become noise, and noise becomes latents.

Noise is drawn for each picture from its own seed, on the CPU, in float32, with unit variance: one
seed is one picture, whatever the device, the dtype and the rest of the batch. Latents have the
shape (n, channels, height / cell, width / cell). Knows nothing of pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from sovgen.generate.beginning import Beginning, Late
from sovgen.generate.reuse import reused
from sovgen.generate.schedulers import build_scheduler
from sovgen.generate.steering import AfterStep, first_guidance, is_steady, needed, steering
from sovgen.models.quiet import libraries_held_back

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from sovgen.generate.conditioning import Conditioning
    from sovgen.generate.encoding import Ground
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

    shape = (1, model.pipe.unet.config.in_channels, height // model.cell, width // model.cell)
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
) -> Tensor:
    """Latents from noise, by diffusers' own pipeline.

    recipe: filled in; its steps, guidance, sampler and size hold for the whole batch
    on_step: called as on_step(i, n, latents) after the i-th of n evaluations; whatever it raises
        stops the drawing
    ground: what the whole batch begins from, in place of noise alone
    """
    import numpy as np
    import torch

    pipe, steady = model.pipe, is_steady(conditioning, recipe)
    with (
        torch.inference_mode(),
        np.errstate(divide="ignore"),
        libraries_held_back(),
        reused(pipe, recipe.cache_interval),
    ):
        pipe.scheduler = build_scheduler(str(recipe.sampler), model.own_scheduler, recipe.schedule)
        beginning = _begin(pipe, ground, noise, recipe) if ground else None
        latents = pipe(
            **_texts(conditioning),
            latents=beginning.latents() if beginning else noise,
            generator=sources,
            num_inference_steps=recipe.steps,
            guidance_scale=first_guidance(recipe),
            **_rescale(recipe),
            width=recipe.width,
            height=recipe.height,
            output_type="latent",
            return_dict=False,
            callback_on_step_end=_after_step(steering(conditioning, recipe, on_step), beginning),
            callback_on_step_end_tensor_inputs=["latents"] if steady else needed(pipe),
        )[0]
    return latents  # type: ignore[no-any-return]


def _begin(pipe: Any, ground: Ground, noise: Tensor, recipe: Recipe) -> Beginning:  # noqa: ANN401
    strength, steps = recipe.strength or 0.0, recipe.steps or 0
    pipe.scheduler = Late(pipe.scheduler, strength)
    return Beginning(pipe.scheduler, ground, noise, steps, whole=strength == 1)


def _texts(conditioning: Conditioning) -> dict[str, Tensor]:
    named = {
        "prompt_embeds": conditioning.states,
        "negative_prompt_embeds": conditioning.negative_states,
        "pooled_prompt_embeds": conditioning.pooled,
        "negative_pooled_prompt_embeds": conditioning.negative_pooled,
    }
    return {name: rows for name, rows in named.items() if rows is not None}


def _rescale(recipe: Recipe) -> dict[str, float]:
    """Nothing where it is off: not every pipeline takes it."""
    return {"guidance_rescale": recipe.guidance_rescale} if recipe.guidance_rescale else {}


def _after_step(steer: AfterStep, beginning: Beginning | None) -> AfterStep:
    """First what is kept of the picture that it began from is put back, then all are told."""

    def after(pipe: Any, index: int, timestep: Any, values: dict[str, Any]) -> dict[str, Any]:  # noqa: ANN401
        if beginning:
            values["latents"] = beginning.put_back(index, values["latents"])
        return steer(pipe, index, timestep, values)

    return after
