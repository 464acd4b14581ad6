"""Schedulers for models that learnt flow matching, made from the model's own.

What they have in common is the shift: how much of the path is spent near noise. FLUX works it out
from the size of the picture and hands it over as `mu`, its logarithm; SD 3 and Sana fix it in their
configuration. Knows nothing of pictures.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

from sovgen.errors import BadRecipe
from sovgen.samplers import FLOW_SAMPLERS, SAMPLERS

if TYPE_CHECKING:
    from sovgen.models.model import Model
    from sovgen.recipe import Recipe

_EULER, _HEUN = "FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler"
_SPACINGS = ("karras", "exponential", "beta")


def build_flow_scheduler(name: str, own: Any, schedule: str | None) -> Any:  # noqa: ANN401
    """A scheduler of that sampler with the shift of the model's own.

    Raises BadRecipe for a sampler that steps by levels of noise.
    """
    if name not in FLOW_SAMPLERS:
        raise BadRecipe(
            f"The sampler {name} does not fit this model, which learnt flow matching: it follows "
            "a path from noise to picture, not a chain of noise levels.",
            f"Those that fit: {', '.join(FLOW_SAMPLERS)}.",
        )
    import diffusers

    sampler = FLOW_SAMPLERS[name]
    dynamic = bool(own.config.get("use_dynamic_shifting"))
    shift = 1.0 if dynamic else float(own.config.get("shift") or own.config.get("flow_shift") or 1)
    named = "shift" if sampler.scheduler in (_EULER, _HEUN) else "flow_shift"
    spacing = {f"use_{schedule}_sigmas": True} if schedule else {}
    cls = getattr(diffusers, sampler.scheduler)
    made = cls.from_config(own.config, **sampler.settings, **{named: shift}, **spacing)
    if sampler.scheduler == _HEUN:
        # FLUX's pipeline then leaves the spacing to the scheduler.
        made.register_to_config(use_flow_sigmas=True)
    return _taking_mu(made, dynamic)


def refuse_schedule(name: str, schedule: str | None) -> None:
    """Raise BadRecipe for a schedule that a sampler along a flow cannot follow.

    One that does not fit a flow has another reason, which `build_flow_scheduler` gives.
    """
    unfit = name in SAMPLERS and name not in FLOW_SAMPLERS
    if schedule and not unfit and (name != "euler" or schedule not in _SPACINGS):
        raise BadRecipe(
            f"Along a flow the sampler {name} cannot follow the schedule {schedule}.",
            "Leave the schedule out, or use euler with karras, exponential or beta.",
        )


def _taking_mu(scheduler: Any, dynamic: bool) -> Any:  # noqa: ANN401
    """Let it be called with a `mu` that it has no use for, or that Heun takes as a shift."""
    set_timesteps = scheduler.set_timesteps

    def set_with_mu(*args: Any, mu: float | None = None, **kwargs: Any) -> None:  # noqa: ANN401
        if mu is None or not dynamic:
            set_timesteps(*args, **kwargs)
        elif type(scheduler).__name__ == _HEUN:
            scheduler.register_to_config(shift=math.exp(mu))
            set_timesteps(*args, **kwargs)
        else:
            set_timesteps(*args, mu=mu, **kwargs)

    # The pipeline looks into the signature for what it may pass.
    scheduler.set_timesteps = functools.wraps(set_timesteps)(set_with_mu)
    return scheduler


def flow_spacing(model: Model, recipe: Recipe) -> dict[str, Any]:
    """What the model's pipeline will set its scheduler's steps with, beside their number."""
    from diffusers.pipelines.flux.pipeline_flux import calculate_shift

    config = model.pipe.scheduler.config
    given: dict[str, Any] = {}
    if config.get("use_dynamic_shifting"):
        tokens = (recipe.width or 0) * (recipe.height or 0) // _token(model) ** 2
        shape = ("base_image_seq_len", "max_image_seq_len", "base_shift", "max_shift")
        given["mu"] = calculate_shift(tokens, *(config[name] for name in shape))
    if model.kind.packed > 1 and not config.get("use_flow_sigmas"):
        steps = recipe.steps or 1
        given["sigmas"] = [1 - i / steps for i in range(steps)]
    return given


def _token(model: Model) -> int:
    """Pixels across and down that the denoiser takes as one token."""
    patch = int(model.denoiser.config.get("patch_size") or 1)
    return model.cell * model.kind.packed * patch
