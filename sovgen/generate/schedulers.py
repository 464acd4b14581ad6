"""Schedulers: a sampler's name becomes a diffusers scheduler that fits the model.

Every sampler is diffusers' own class, configured from the model's own scheduler, so that what the
weights were trained for (betas, prediction type, zero terminal SNR, spacing) is kept. Knows
nothing of pictures.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from typing import Any

from sovgen.errors import BadRecipe
from sovgen.generate.flow import build_flow_scheduler, refuse_schedule
from sovgen.samplers import FLAGS, FLOW_SAMPLERS, OWN, SAMPLERS, is_flow, name_of, sampler_name

# For zero, so that no sigma is infinite: 100 is near enough to noise alone, and a second-order step
# from there is still sound. (Euler, which takes steps of first order, goes to 4096.)
_LEAST_ALPHA = 1e-4
# They step along the timesteps that the weights were distilled for, whatever the spacing.
_OWN_SPACING = ("lcm", "tcd")


def build_scheduler(name: str, own: Any, schedule: str | None = None) -> Any:  # noqa: ANN401
    """A fresh scheduler of that name, made from the model's own; schedule: as in Recipe.

    Raises BadRecipe when there is no such sampler, when it is another model's own or does not fit
    what the weights learnt, when it cannot follow the schedule, and when it needs a library that is
    not installed.
    """
    name = sampler_name(name)
    known = SAMPLERS
    if is_flow(type(own).__name__, own.config):
        refuse_schedule(name, schedule)
        known = FLOW_SAMPLERS
    if name == name_of(type(own).__name__, own.config):
        spacing = _spacing(name, type(own), "", schedule)
        return _configured(name, type(own), own.config, spacing)
    if name.endswith(OWN):
        raise BadRecipe(
            f"The sampler {name} belongs to another model.", f"Known: {', '.join(known)}."
        )
    if known is FLOW_SAMPLERS:
        return build_flow_scheduler(name, own, schedule)
    import diffusers

    sampler = SAMPLERS[name]
    cls = getattr(diffusers, sampler.scheduler)
    settings = {**sampler.settings, **_spacing(name, cls, sampler.schedule, schedule)}
    return _begin_at_first(_configured(name, cls, own.config, settings | _zero_snr(cls, own)))


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


def _spacing(name: str, cls: Any, label: str, schedule: str | None) -> dict[str, object]:  # noqa: ANN401
    """The settings that space the sigmas so.

    label: the schedule that the sampler's own name brings with it
    simple: every so manieth of the model's own sigmas, counted from the noisiest, as in A1111
    """
    if schedule is None or schedule == label.lower():
        return {}
    if label:
        raise BadRecipe(
            f"The sampler {name} already has the schedule {label.lower()}.",
            f"Use {name.removesuffix(' ' + label.lower())} with --schedule {schedule}.",
        )
    known = inspect.signature(cls.__init__).parameters
    wanted: dict[str, object] = {"timestep_spacing": "trailing"} if schedule == "simple" else {}
    flags: dict[str, object] = {
        flag: flag == f"use_{schedule}_sigmas" for flag in FLAGS if flag in known
    }
    if name in _OWN_SPACING or not (wanted or any(flags.values())) or not set(wanted) <= set(known):
        raise BadRecipe(
            f"The sampler {name} cannot follow the schedule {schedule}.",
            "Leave the schedule out, or use dpm++ 2m, euler or unipc.",
        )
    return flags | wanted


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
    kept = (1 - rescale_zero_terminal_snr(plain.betas)).cumprod(0).clamp(min=_LEAST_ALPHA)
    betas = 1 - kept / kept.roll(1).index_fill_(0, _first(kept), 1.0)
    return {"trained_betas": betas.tolist()}


def _first(values: Any) -> Any:  # noqa: ANN401
    return values.new_zeros(1).long()
