"""Steering: what changes between the steps of one drawing.

Parts of a prompt take turns, and guidance acts within an interval only (Kynkäänniemi et al.,
2404.07724): outside of it the negative half is not computed at all. diffusers lets a function
change a pipeline's tensors after each step; this file writes that function. Knows nothing of
pixels.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sovgen.generate.conditioning import Conditioning

if TYPE_CHECKING:
    from torch import Tensor

    from sovgen.recipe import Recipe

    OnStep = Callable[[int, int, Tensor], None]

AfterStep = Callable[[Any, int, Any, dict[str, Any]], dict[str, Any]]
# What a pipeline holds twice while guidance acts, beside the texts: the negative's half first.
_DOUBLED = ("add_time_ids", "mask", "masked_image_latents")
_UNGUIDED = 1.0


@dataclass(frozen=True)
class Interval:
    """The share of the steps, 0 .. 1, between which guidance acts."""

    since: float = 0.0
    until: float = 1.0

    @classmethod
    def of(cls, recipe: Recipe) -> Interval:
        """The whole where the recipe says nothing."""
        until = 1.0 if recipe.guidance_until is None else recipe.guidance_until
        return cls(recipe.guidance_from or 0.0, until)

    def holds(self, step: int, steps: int) -> bool:
        """Whether guidance acts in the step, 0-based, of so many."""
        return self.since <= step / steps < self.until


def by_halves(recipe: Recipe) -> bool:
    """Whether guidance is changed after its halves were computed: see `sovgen.generate.halves`."""
    return bool(recipe.control or recipe.adapter)


def rescales_itself(pipe: Any, recipe: Recipe) -> bool:  # noqa: ANN401
    """Whether the pipeline rescales guidance, so that nobody has to do so after it."""
    knows = "guidance_rescale" in inspect.signature(type(pipe).__call__).parameters
    return knows and not by_halves(recipe)


def _interval(recipe: Recipe) -> Interval:
    """In which the negative half is computed at all."""
    return Interval() if by_halves(recipe) else Interval.of(recipe)


def first_guidance(pipe: Any, recipe: Recipe) -> float:  # noqa: ANN401
    """The guidance that the first step begins with, once the pipeline's scheduler is set."""
    before, total = counted(pipe, 1)
    return float(recipe.guidance or 0) if _interval(recipe).holds(before, total) else _UNGUIDED


def counted(pipe: Any, taken: int) -> tuple[int, int]:  # noqa: ANN401
    """Evaluations that another model has taken before, and of all together; `taken`: its own."""
    scheduler = pipe.scheduler
    return getattr(scheduler, "before", 0), getattr(scheduler, "total", taken)


def is_steady(conditioning: Conditioning, recipe: Recipe) -> bool:
    """Whether every step is steered alike."""
    return not conditioning.later and _interval(recipe) == Interval()


def needed(pipe: Any) -> list[str]:  # noqa: ANN401
    """The tensors of a pipeline that steering changes."""
    wanted = ("latents", "prompt_embeds", "add_text_embeds", *_DOUBLED)
    return [name for name in wanted if name in pipe._callback_tensor_inputs]


def steering(conditioning: Conditioning, recipe: Recipe, on_step: OnStep | None) -> AfterStep:
    """The function that a pipeline calls after each evaluation, with the tensors it `needed`."""
    interval = _interval(recipe)
    current = conditioning

    def after(pipe: Any, index: int, _: Any, values: dict[str, Any]) -> dict[str, Any]:  # noqa: ANN401
        nonlocal current
        others, total = counted(pipe, pipe.num_timesteps)
        if on_step:
            on_step(others + index + 1, total, values["latents"])
        if index + 1 == pipe.num_timesteps:
            return values
        step = (others + index + 1) // pipe.scheduler.order
        was_guided, before = pipe.do_classifier_free_guidance, current
        holds = interval.holds(others + index + 1, total)
        pipe._guidance_scale = recipe.guidance if holds else _UNGUIDED
        current = conditioning.later.get(step, current)
        if pipe.do_classifier_free_guidance != was_guided or current is not before:
            values |= _texts(current, pipe.do_classifier_free_guidance, values)
        if pipe.do_classifier_free_guidance != was_guided:
            values |= _doubled(values) if not was_guided else _halved(values)
        return values

    return after


def _texts(conditioning: Conditioning, guided: bool, values: dict[str, Any]) -> dict[str, Tensor]:
    import torch

    halves = {
        "prompt_embeds": (conditioning.negative_states, conditioning.states),
        "add_text_embeds": (conditioning.negative_pooled, conditioning.pooled),
    }
    return {
        name: torch.cat([negative, positive]) if guided and negative is not None else positive
        for name, (negative, positive) in halves.items()
        if name in values and positive is not None
    }


def _doubled(values: dict[str, Any]) -> dict[str, Tensor]:
    import torch

    return {name: torch.cat([values[name]] * 2) for name in _DOUBLED if name in values}


def _halved(values: dict[str, Any]) -> dict[str, Tensor]:
    return {name: values[name].chunk(2)[1] for name in _DOUBLED if name in values}
