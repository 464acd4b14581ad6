"""Schedulers: a sampler's name becomes a diffusers scheduler that fits the model.

A sampler is diffusers' own class, or one of `OURS` made from such a class, configured from the
model's own scheduler, so that what the weights were trained for (betas, prediction type, zero
terminal SNR, spacing) is kept. Knows nothing of pictures.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sovgen.errors import BadRecipe
from sovgen.generate.flow import build_flow_scheduler, refuse_schedule
from sovgen.generate.spacing import SPACINGS, space
from sovgen.samplers import FLAGS, FLOW_SAMPLERS, OURS, SAMPLERS, along_flow, is_flow, name_of
from sovgen.spelling import OWN, read_sampler, settle, unknown_sampler

if TYPE_CHECKING:
    from sovgen.models.model import Model
    from sovgen.recipe import Recipe

# For zero, so that no sigma is infinite: 100 is near enough to noise alone, and a second-order step
# from there is still sound. (Euler, which takes steps of first order, goes to 4096.)
_LEAST_ALPHA = 1e-4
# More than this share of the timesteps must be reached: leading ones, of whole length, begin at 667
# of 1,000 with 334 steps, where the picture is no longer noise alone.
_REACHED = 0.9
_DISTILLED = "it steps along the timesteps that its weights were distilled for"
# They step along levels of their own, whatever the spacing.
_OWN_SPACING = {
    "lcm": _DISTILLED,
    "tcd": _DISTILLED,
    "dpm fast": "its steps are of one length in the logarithm of the noise",
}
_SIMPLE = ("timestep_spacing", "trailing")


def scheduler_of(model: Model, recipe: Recipe) -> Any:  # noqa: ANN401
    """The scheduler of a filled recipe for that model.

    Raises as `build_scheduler`, and BadRecipe for more steps than a distilled model's sampler has.
    """
    name, aligned = str(recipe.sampler), model.kind.aligned
    made = build_scheduler(name, model.own_scheduler, recipe.schedule, aligned)
    return _room_for(int(recipe.steps or 0), made, name)


def _room_for(steps: int, scheduler: Any, name: str) -> Any:  # noqa: ANN401
    """Let it take so many steps, each at a timestep of its own."""
    most = scheduler.config.get("original_inference_steps", steps)
    if steps > most:
        why = f"The sampler {name} takes at most {most} steps, not {steps}: {_DISTILLED}."
        raise BadRecipe(why, "Leave the steps out, or use another sampler.")
    trained = scheduler.config.num_train_timesteps
    spacing = scheduler.config.get("timestep_spacing")
    every = steps >= trained - scheduler.config.get("steps_offset", 0)
    short = spacing == "leading" and steps * (trained // steps) <= _REACHED * trained
    if spacing and (every or short):
        # Of nearly every timestep the others leave the table, or use some twice.
        scheduler.register_to_config(timestep_spacing=(spacing := "trailing"))
    if spacing == "trailing":
        _divide_up(scheduler)
    return scheduler


class _Steps(int):
    """How many steps; what is divided among them is rounded up."""

    def __rtruediv__(self, whole: float) -> float:
        return math.nextafter(whole / int(self), math.inf)


def _divide_up(scheduler: Any) -> None:  # noqa: ANN401
    """Let it take no step more than it was asked for.

    diffusers counts trailing timesteps down to 0 by the quotient. Where that is rounded down, as
    for 61 steps of 1,000 timesteps, there is one more, to timestep -1, which is pure noise.
    """
    set_timesteps = scheduler.set_timesteps

    def set_divided(num_inference_steps: int | None = None, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        steps = None if num_inference_steps is None else _Steps(num_inference_steps)
        set_timesteps(steps, *args, **kwargs)

    scheduler.set_timesteps = functools.wraps(set_timesteps)(set_divided)


def build_scheduler(
    name: str,
    own: Any,  # noqa: ANN401
    schedule: str | None = None,
    aligned: str | None = None,
) -> Any:  # noqa: ANN401
    """A fresh scheduler of that name, made from the model's own.

    schedule: as in Recipe; aligned: as in Family

    Raises BadRecipe when there is no such sampler, when it is another model's own or does not fit
    what the weights learnt, when it cannot follow the schedule, and when it needs a library that is
    not installed.
    """
    name, schedule = settle(name, schedule)
    kind = type(own).__name__
    flow = is_flow(kind, own.config)
    if flow:
        name = along_flow(name)
        refuse_schedule(name, schedule)
    own_name, own_schedule = _parted(name_of(kind, own.config))
    mended = name in SAMPLERS and SAMPLERS[name].instead_of and not flow
    if name == own_name and own_schedule in (None, schedule) and not mended:
        schedule = None if own_schedule else schedule
        made = _from_own(name, own, schedule, flow)
    elif name.endswith(OWN):
        raise _no_class(name, flow)
    elif flow:
        return build_flow_scheduler(name, own, schedule)
    else:
        made = _from_table(name, own, schedule)
    return space(made, schedule, aligned) if schedule in SPACINGS else made


def _parted(own: str) -> tuple[str, str | None]:
    """A model's own sampler and its schedule; a class that is left out for others is its own."""
    return (own, None) if own.endswith(OWN) else read_sampler(own)


def _from_own(name: str, own: Any, schedule: str | None, flow: bool) -> Any:  # noqa: ANN401
    made = _configured(name, type(own), own.config, _spacing(name, type(own), schedule))
    return made if flow or schedule is None else _begin_at_first(made)


def _from_table(name: str, own: Any, schedule: str | None) -> Any:  # noqa: ANN401
    sampler = SAMPLERS[name]
    module = OURS.get(sampler.scheduler)
    place = importlib.import_module(f"sovgen.generate.{module}" if module else "diffusers")
    cls = getattr(place, sampler.scheduler)
    settings = {**sampler.settings, **_spacing(name, cls, schedule)}
    return _begin_at_first(_configured(name, cls, own.config, settings | _zero_snr(cls, own)))


def _no_class(name: str, flow: bool) -> BadRecipe:
    """The error for the class of a scheduler that is not the model's own."""
    import diffusers

    if not hasattr(diffusers, name):
        return unknown_sampler(name)
    if is_flow(name, {}) and not flow:
        why = "does not fit this model, which did not learn flow matching"
    else:
        why = "is drawn with only where it is a model's own"
    known = FLOW_SAMPLERS if flow else SAMPLERS
    return BadRecipe(f"The sampler {name} {why}.", f"Known: {', '.join(known)}.")


def _configured(name: str, cls: Any, config: Any, settings: Mapping[str, object]) -> Any:  # noqa: ANN401
    import numpy as np

    try:
        # Karras' spacing divides by the distance of two equal sigmas, and clips what comes of it.
        with np.errstate(divide="ignore"):
            return cls.from_config(config, **settings)
    except ImportError as error:
        what = "schedule beta" if settings.get("use_beta_sigmas") else f"sampler {name}"
        raise BadRecipe(
            f"The {what} needs scipy, which is not installed.", "pip install scipy"
        ) from error


def _spacing(name: str, cls: Any, schedule: str | None) -> dict[str, object]:  # noqa: ANN401
    """The settings that space the sigmas so.

    simple: every nth of the model's own sigmas, counted from the noisiest, as in A1111
    """
    if schedule is None:
        return {}
    known = inspect.signature(cls.__init__).parameters
    # what `space` puts in the place of Karras' spacing
    flag = "karras" if schedule in SPACINGS else schedule
    key, value = _SIMPLE if schedule == "simple" else (f"use_{flag}_sigmas", True)
    if name in _OWN_SPACING:
        raise _cannot_follow(name, schedule, _OWN_SPACING[name])
    # the class that stands for one whose library is missing takes no settings: see `_configured`
    if key not in known and not hasattr(cls, "_backends"):
        raise _cannot_follow(name, schedule, f"{_theirs(cls)} does not have it")
    return {**{flag: False for flag in FLAGS if flag in known}, key: value}


def _theirs(cls: Any) -> str:  # noqa: ANN401
    """The class of diffusers that a class is, or that it is made from."""
    return f"diffusers' {cls.__base__.__name__ if cls.__name__ in OURS else cls.__name__}"


def _cannot_follow(name: str, schedule: str, why: str) -> BadRecipe:
    return BadRecipe(
        f"The sampler {name} cannot follow the schedule {schedule}: {why}.",
        "Leave the schedule out, or use dpm++ 2m, euler or unipc.",
    )


def _begin_at_first(scheduler: Any) -> Any:  # noqa: ANN401
    """Let it count its steps from the first one, instead of looking each up by its timestep.

    Two steps of one rounded timestep, as Karras' spacing has them near pure noise, are otherwise
    taken for one another, and the last step is missing.
    """
    if not hasattr(scheduler, "set_begin_index"):
        return scheduler
    set_timesteps = scheduler.set_timesteps

    def set_and_begin(*args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        set_timesteps(*args, **kwargs)
        scheduler.set_begin_index(0)

    # The pipeline looks into the signature for what it may pass.
    scheduler.set_timesteps = functools.wraps(set_timesteps)(set_and_begin)
    return scheduler


def _zero_snr(cls: Any, own: Any) -> dict[str, object]:  # noqa: ANN401
    """Betas that end in noise alone, for a class that cannot rescale them by itself."""
    if not own.config.get("rescale_betas_zero_snr"):
        return {}
    if "rescale_betas_zero_snr" in inspect.signature(cls.__init__).parameters:
        return {}
    from diffusers.schedulers.scheduling_ddim import rescale_zero_terminal_snr

    plain = type(own).from_config(own.config, rescale_betas_zero_snr=False)
    kept = (1 - rescale_zero_terminal_snr(plain.betas)).double().cumprod(0)
    # Raised, not cut off: two steps of one sigma would divide by their distance.
    kept = _LEAST_ALPHA + (1 - _LEAST_ALPHA) * kept
    betas = 1 - kept / kept.roll(1).index_fill_(0, _first(kept), 1.0)
    return {"trained_betas": betas.tolist()}


def _first(values: Any) -> Any:  # noqa: ANN401
    return values.new_zeros(1).long()
