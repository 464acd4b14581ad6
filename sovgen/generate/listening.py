"""Listening: what a pipeline is given to call after each step.

First what a mask protects is put back, then all are told. Pipelines that read the language of
prompts are steered here too; those of FLUX hand over packed latents, PixArt's knows only an older
kind of call. Knows nothing of texts or pixels.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sovgen.generate.packing import pack, unpack
from sovgen.generate.steering import is_steady, needed, steering
from sovgen.generate.texts import reads_language

if TYPE_CHECKING:
    from torch import Tensor

    from sovgen.generate.beginning import Beginning
    from sovgen.generate.conditioning import Conditioning
    from sovgen.models.model import Model
    from sovgen.recipe import Recipe

    OnStep = Callable[[int, int, Tensor], None]

Values = dict[str, Any]


def listening(
    model: Model,
    conditioning: Conditioning,
    recipe: Recipe,
    on_step: OnStep | None,
    beginning: Beginning | None,
) -> dict[str, Any]:
    """The arguments that make the model's pipeline call back."""
    if reads_language(model.pipe):
        steady = is_steady(conditioning, recipe)
        return {
            "callback_on_step_end": _steered(conditioning, recipe, on_step, beginning),
            "callback_on_step_end_tensor_inputs": ["latents"] if steady else needed(model.pipe),
        }
    if "callback_on_step_end" in inspect.signature(type(model.pipe).__call__).parameters:
        return {"callback_on_step_end": _packed(model, recipe, on_step, beginning)}
    return {"callback": _in_place(model, on_step, beginning)}


def _steered(
    conditioning: Conditioning,
    recipe: Recipe,
    on_step: OnStep | None,
    beginning: Beginning | None,
) -> Callable[[Any, int, Any, Values], Values]:
    steer = steering(conditioning, recipe, on_step)

    def after(pipe: Any, index: int, timestep: Any, values: Values) -> Values:  # noqa: ANN401
        if beginning:
            values["latents"] = beginning.put_back(index, values["latents"])
        return steer(pipe, index, timestep, values)

    return after


def _packed(
    model: Model, recipe: Recipe, on_step: OnStep | None, beginning: Beginning | None
) -> Callable[[Any, int, Any, Values], Values]:
    def after(pipe: Any, index: int, _: Any, values: Values) -> Values:  # noqa: ANN401
        latents = unpack(model, values["latents"], recipe)
        if beginning:
            latents = beginning.put_back(index, latents)
            values["latents"] = pack(model, latents)
        if on_step:
            on_step(index + 1, pipe.num_timesteps, latents)
        return values

    return after


def _in_place(
    model: Model, on_step: OnStep | None, beginning: Beginning | None
) -> Callable[[int, Any, Tensor], None]:
    """Called once for a step of several evaluations, with latents that it can only overwrite."""

    def after(index: int, _: Any, latents: Tensor) -> None:  # noqa: ANN401
        scheduler = model.pipe.scheduler
        total = len(scheduler.timesteps)
        evaluations = min((index + 1) * scheduler.order, total)
        if beginning:
            latents.copy_(beginning.put_back(evaluations - 1, latents))
        if on_step:
            on_step(evaluations, total, latents)

    return after
