"""The samplers by name: a table that costs nothing to import.

Names are AUTOMATIC1111's in lower case; diffusers' short names are aliases. How a name becomes a
scheduler that fits a model is `sovgen.generate.schedulers`. Knows nothing of models.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field

from sovgen.errors import BadRecipe


@dataclass(frozen=True)
class Sampler:
    """A diffusers scheduler class and the settings that make it this sampler.

    label, schedule: A1111's `Sampler` and `Schedule type`
    """

    scheduler: str
    label: str
    settings: Mapping[str, object] = field(default_factory=dict)
    schedule: str = ""


# How diffusers is told which schedule the sigmas follow.
FLAGS = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas")
_PLAIN: dict[str, object] = dict.fromkeys(FLAGS, False)
_KARRAS = _PLAIN | {"use_karras_sigmas": True}
_2M: dict[str, object] = {"algorithm_type": "dpmsolver++", "solver_order": 2}
_2M_SDE: dict[str, object] = {"algorithm_type": "sde-dpmsolver++", "solver_order": 2}
_HEUN: dict[str, object] = {"solver_type": "heun"}
_3RD: dict[str, object] = {"solver_order": 3}
_ZERO: dict[str, object] = {"final_sigmas_type": "zero"}
_2S = _2M | _ZERO
_MULTI, _SINGLE = "DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler"
_KDPM2, _KDPM2_A = "KDPM2DiscreteScheduler", "KDPM2AncestralDiscreteScheduler"

SAMPLERS: Mapping[str, Sampler] = {
    "ddim": Sampler("DDIMScheduler", "DDIM"),
    "ddpm": Sampler("DDPMScheduler", "DDPM"),
    "pndm": Sampler("PNDMScheduler", "PLMS", {"skip_prk_steps": True}),
    "lms": Sampler("LMSDiscreteScheduler", "LMS", _PLAIN),
    "lms karras": Sampler("LMSDiscreteScheduler", "LMS", _KARRAS, "Karras"),
    "euler": Sampler("EulerDiscreteScheduler", "Euler", _PLAIN),
    "euler karras": Sampler("EulerDiscreteScheduler", "Euler", _KARRAS, "Karras"),
    "euler a": Sampler("EulerAncestralDiscreteScheduler", "Euler a"),
    "heun": Sampler("HeunDiscreteScheduler", "Heun", _PLAIN),
    "heun karras": Sampler("HeunDiscreteScheduler", "Heun", _KARRAS, "Karras"),
    "dpm2": Sampler(_KDPM2, "DPM2", _PLAIN),
    "dpm2 karras": Sampler(_KDPM2, "DPM2", _KARRAS, "Karras"),
    "dpm2 a": Sampler(_KDPM2_A, "DPM2 a", _PLAIN),
    "dpm2 a karras": Sampler(_KDPM2_A, "DPM2 a", _KARRAS, "Karras"),
    "dpm++ 2m": Sampler(_MULTI, "DPM++ 2M", _2M | _PLAIN),
    "dpm++ 2m karras": Sampler(_MULTI, "DPM++ 2M", _2M | _KARRAS, "Karras"),
    "dpm++ 2m sde": Sampler(_MULTI, "DPM++ 2M SDE", _2M_SDE | _PLAIN),
    "dpm++ 2m sde karras": Sampler(_MULTI, "DPM++ 2M SDE", _2M_SDE | _KARRAS, "Karras"),
    "dpm++ 2m sde heun": Sampler(_MULTI, "DPM++ 2M SDE Heun", _2M_SDE | _HEUN | _PLAIN),
    "dpm++ 3m sde": Sampler(_MULTI, "DPM++ 3M SDE", _2M_SDE | _3RD | _PLAIN),
    "dpm++ 3m sde karras": Sampler(_MULTI, "DPM++ 3M SDE", _2M_SDE | _3RD | _KARRAS, "Karras"),
    "dpm++ sde": Sampler(_SINGLE, "DPM++ SDE", _2M_SDE | _ZERO | _PLAIN),
    "dpm++ sde karras": Sampler(_SINGLE, "DPM++ SDE", _2M_SDE | _ZERO | _KARRAS, "Karras"),
    "dpm++ 2s": Sampler(_SINGLE, "DPM++ 2S", _2S | _PLAIN),
    "dpm++ 2s karras": Sampler(_SINGLE, "DPM++ 2S", _2S | _KARRAS, "Karras"),
    "deis": Sampler("DEISMultistepScheduler", "DEIS", _PLAIN),
    "sa": Sampler("SASolverScheduler", "SA-Solver", _PLAIN),
    "unipc": Sampler("UniPCMultistepScheduler", "UniPC", _PLAIN),
    "unipc karras": Sampler("UniPCMultistepScheduler", "UniPC", _KARRAS, "Karras"),
    "lcm": Sampler("LCMScheduler", "LCM"),
    "tcd": Sampler("TCDScheduler", "TCD"),
}
_FLOW: dict[str, object] = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
# For models that learnt flow matching; those that draw noise at every step are left out, since
# the pipelines of such models hand no generator on.
FLOW_SAMPLERS: Mapping[str, Sampler] = {
    "euler": Sampler("FlowMatchEulerDiscreteScheduler", "Euler"),
    "heun": Sampler("FlowMatchHeunDiscreteScheduler", "Heun"),
    "dpm++ 2m": Sampler(_MULTI, "DPM++ 2M", _2M | _PLAIN | _FLOW),
    "dpm++ 2s": Sampler(_SINGLE, "DPM++ 2S", _2S | _PLAIN | _FLOW),
    "deis": Sampler("DEISMultistepScheduler", "DEIS", _PLAIN | _FLOW),
    "unipc": Sampler("UniPCMultistepScheduler", "UniPC", _PLAIN | _FLOW),
}
ALIASES: Mapping[str, str] = {
    "plms": "pndm",
    "lms discrete": "lms",
    "euler discrete": "euler",
    "euler ancestral": "euler a",
    "euler ancestral discrete": "euler a",
    "heun discrete": "heun",
    "kdpm2": "dpm2",
    "kdpm2 ancestral": "dpm2 a",
    "dpm2 ancestral": "dpm2 a",
    "dpm": "dpm++ 2m",
    "dpmsolver": "dpm++ 2m",
    "dpmsolver++": "dpm++ 2m",
    "dpmsolver multistep": "dpm++ 2m",
    "dpmsolver singlestep": "dpm++ 2s",
    "unipc multistep": "unipc",
    "deis multistep": "deis",
    "sasolver": "sa",
    "sa solver": "sa",
}
# A scheduler of diffusers that is in no table is still known by its class, as a model's own.
OWN = "Scheduler"


def sampler_name(asked: str) -> str:
    """The name in `SAMPLERS` that is meant, whatever its case, hyphens or underscores.

    A name that ends in `Scheduler` is returned as it is: only the model can tell whether it is
    its own. Raises BadRecipe with the nearest names, or the reason for a sampler left out.
    """
    if asked.endswith(OWN):
        return asked
    name = " ".join(asked.lower().replace("_", " ").replace("-", " ").split())
    name = ALIASES.get(name, name)
    if name in SAMPLERS:
        return name
    if name.startswith("dpmsolver sde"):
        raise BadRecipe(
            "diffusers' DPMSolverSDE draws its noise for a whole batch at once, so that one seed "
            "would not be one picture.",
            "Use dpm++ sde, the same method with noise of each picture's own.",
        )
    near = difflib.get_close_matches(name, [*SAMPLERS, *ALIASES], n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(near)}? " if near else ""
    raise BadRecipe(f"There is no sampler {asked!r}.", f"{hint}Known: {', '.join(SAMPLERS)}.")


def name_of(kind: str, config: Mapping[str, object]) -> str:
    """The name of a scheduler class with that configuration; its class when no table holds it."""
    table = FLOW_SAMPLERS if is_flow(kind, config) else SAMPLERS
    of_kind = {name: s.settings for name, s in table.items() if s.scheduler == kind}
    for name, settings in of_kind.items():
        if all(config.get(key, value) == value for key, value in settings.items()):
            return name
    return next(iter(of_kind), kind)


def is_flow(kind: str, config: Mapping[str, object]) -> bool:
    """Whether a scheduler class with that configuration follows a flow from noise to picture."""
    return kind.startswith("FlowMatch") or bool(config.get("use_flow_sigmas"))
