"""Schedulers: a sampler's name becomes a diffusers scheduler that fits the model.

Every sampler is diffusers' own class, configured from the model's own scheduler, so that what the
weights were trained for (betas, prediction type, zero terminal SNR, spacing) is kept. Knows
nothing of pictures.
"""

from __future__ import annotations

import inspect
from typing import Any

from sovgen.errors import BadRecipe
from sovgen.samplers import OWN, SAMPLERS, name_of, sampler_name

# What EulerDiscreteScheduler takes for zero, so that no sigma is infinite.
_LEAST_ALPHA = 2**-24


def build_scheduler(name: str, own: Any) -> Any:  # noqa: ANN401
    """A fresh scheduler of that name, made from the model's own.

    Raises BadRecipe when there is no such sampler, or when it is another model's own.
    """
    name = sampler_name(name)
    if name == name_of(type(own).__name__, own.config):
        return type(own).from_config(own.config)
    if name.endswith(OWN):
        raise BadRecipe(
            f"The sampler {name} belongs to another model.", f"Known: {', '.join(SAMPLERS)}."
        )
    import diffusers

    sampler = SAMPLERS[name]
    cls = getattr(diffusers, sampler.scheduler)
    return cls.from_config(own.config, **sampler.settings, **_zero_snr(cls, own))


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
