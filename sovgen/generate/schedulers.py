"""Schedulers: a sampler's name becomes a diffusers scheduler that fits the model.

Every sampler is diffusers' own class, configured from the model's own scheduler, so that what the
weights were trained for (betas, prediction type, zero terminal SNR, spacing) is kept. Knows
nothing of pictures.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any

from sovgen.errors import BadRecipe
from sovgen.samplers import OWN, SAMPLERS, name_of, sampler_name

# For zero, so that no sigma is infinite: 100 is near enough to noise alone, and a second-order step
# from there is still sound. (Euler, which takes steps of first order, goes to 4096.)
_LEAST_ALPHA = 1e-4


def build_scheduler(name: str, own: Any) -> Any:  # noqa: ANN401
    """A fresh scheduler of that name, made from the model's own.

    Raises BadRecipe when there is no such sampler, when it is another model's own, and when it
    needs a library that is not installed.
    """
    name = sampler_name(name)
    if name == name_of(type(own).__name__, own.config):
        return type(own).from_config(own.config)
    if name.endswith(OWN):
        raise BadRecipe(
            f"The sampler {name} belongs to another model.", f"Known: {', '.join(SAMPLERS)}."
        )
    import diffusers
    import numpy as np

    sampler = SAMPLERS[name]
    cls = getattr(diffusers, sampler.scheduler)
    try:
        # Karras' spacing divides by the distance of two equal sigmas, and clips what comes of it.
        with np.errstate(divide="ignore"):
            made = cls.from_config(own.config, **sampler.settings, **_zero_snr(cls, own))
    except ImportError as error:
        raise BadRecipe(
            f"The sampler {name} needs scipy, which is not installed.", "pip install scipy"
        ) from error
    return _begin_at_first(made)


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
