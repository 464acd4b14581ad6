"""The samplers by name: a table that costs nothing to import.

Names are AUTOMATIC1111's in lower case, without the schedule that may end one there. How else they
are written is `sovgen.spelling`, how a name becomes a scheduler that fits a model is
`sovgen.generate.schedulers`. Knows nothing of models.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Sampler:
    """A diffusers scheduler class and the settings that make it this sampler.

    scheduler: the class's name; diffusers', or else one of `OURS`
    label: A1111's `Sampler`, or ComfyUI's name
    instead_of: diffusers' class whose steps with those settings are not right
    """

    scheduler: str
    label: str
    settings: Mapping[str, object] = field(default_factory=dict)
    instead_of: str | None = None


# How diffusers is told which schedule the sigmas follow.
FLAGS = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas")
_PLAIN: dict[str, object] = dict.fromkeys(FLAGS, False)
_2M: dict[str, object] = {"algorithm_type": "dpmsolver++", "solver_order": 2}
_2M_SDE: dict[str, object] = {"algorithm_type": "sde-dpmsolver++", "solver_order": 2}
_HEUN: dict[str, object] = {"solver_type": "heun"}
_3RD: dict[str, object] = {"solver_order": 3}
_ZERO: dict[str, object] = {"final_sigmas_type": "zero"}
_2S = _2M | _ZERO
_MULTI, _SINGLE = "DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler"
_3M = "DPMSolverThirdSDEScheduler"
_KDPM2, _KDPM2_A = "KDPM2DiscreteScheduler", "KDPM2AncestralDiscreteScheduler"

SAMPLERS: Mapping[str, Sampler] = {
    "ddim": Sampler("DDIMScheduler", "DDIM"),
    "ddim cfg++": Sampler("DDIMManifoldScheduler", "DDIM CFG++"),
    "ddpm": Sampler("DDPMScheduler", "DDPM"),
    "pndm": Sampler("PNDMScheduler", "PLMS", {"skip_prk_steps": True}),
    "lms": Sampler("LMSDiscreteScheduler", "LMS", _PLAIN),
    "euler": Sampler("EulerDiscreteScheduler", "Euler", _PLAIN),
    "euler a": Sampler("EulerAncestralDiscreteScheduler", "Euler a"),
    "heun": Sampler("HeunDiscreteScheduler", "Heun", _PLAIN),
    "restart": Sampler("RestartScheduler", "Restart", _PLAIN),
    "dpm fast": Sampler("DPMSolverFastScheduler", "DPM fast"),
    "dpm2": Sampler(_KDPM2, "DPM2", _PLAIN),
    "dpm2 a": Sampler(_KDPM2_A, "DPM2 a", _PLAIN),
    "dpm++ 2m": Sampler(_MULTI, "DPM++ 2M", _2M | _PLAIN),
    "dpm++ 2m sde": Sampler(_MULTI, "DPM++ 2M SDE", _2M_SDE | _PLAIN),
    "dpm++ 2m sde heun": Sampler(_MULTI, "DPM++ 2M SDE Heun", _2M_SDE | _HEUN | _PLAIN),
    "dpm++ 3m sde": Sampler(_3M, "DPM++ 3M SDE", _2M_SDE | _3RD | _PLAIN, instead_of=_MULTI),
    "dpm++ sde": Sampler(_SINGLE, "DPM++ SDE", _2M_SDE | _ZERO | _PLAIN),
    "dpm++ 2s": Sampler(_SINGLE, "DPM++ 2S", _2S | _PLAIN),
    "dpm++ 2s a": Sampler("DPM2SAncestralScheduler", "DPM++ 2S a", _PLAIN),
    "ipndm": Sampler("AdamsBashforthScheduler", "IPNDM", _PLAIN),
    "ipndm v": Sampler("VaryingAdamsBashforthScheduler", "IPNDM_V", _PLAIN),
    "deis": Sampler("DEISMultistepScheduler", "DEIS", _PLAIN),
    "sa": Sampler("SASolverScheduler", "SA-Solver", _PLAIN),
    "unipc": Sampler("UniPCMultistepScheduler", "UniPC", _PLAIN),
    "lcm": Sampler("LCMScheduler", "LCM"),
    "tcd": Sampler("TCDScheduler", "TCD"),
}
# Classes that diffusers does not have, and the file in `sovgen.generate` that has them instead.
OURS: Mapping[str, str] = {
    "DPM2SAncestralScheduler": "ancestral",
    "DDIMManifoldScheduler": "manifold",
    "RestartScheduler": "restart",
    "DPMSolverFastScheduler": "singlestep",
    "DPMSolverThirdSDEScheduler": "multistep",
    "AdamsBashforthScheduler": "slopes",
    "VaryingAdamsBashforthScheduler": "slopes",
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
# A model's own of these is called so whatever its sigmas; recipes that were kept say so.
_KARRAS_UNSAID = ("dpm++ 2m sde heun", "deis", "sa")


def name_of(kind: str, config: Mapping[str, object]) -> str:
    """The name of a scheduler class with that configuration, Karras' sigmas at its end.

    The first of that class when none has those settings; the class when no table holds it.
    """
    flow = is_flow(kind, config)
    table = FLOW_SAMPLERS if flow else SAMPLERS
    of_kind = {n: s.settings for n, s in table.items() if kind in (s.scheduler, s.instead_of)}
    for name, settings in of_kind.items():
        if _has(config, settings):
            return name
        said = not flow and FLAGS[0] in settings and name not in _KARRAS_UNSAID
        if said and _has(config, {**settings, FLAGS[0]: True}):
            return f"{name} karras"
    return next(iter(of_kind), kind)


def _has(config: Mapping[str, object], settings: Mapping[str, object]) -> bool:
    return all(config.get(key, value) == value for key, value in settings.items())


def along_flow(name: str) -> str:
    """The name in `FLOW_SAMPLERS` of a class that is of no other table; any other name as it is."""
    return next((known for known, s in FLOW_SAMPLERS.items() if s.scheduler == name), name)


def is_flow(kind: str, config: Mapping[str, object]) -> bool:
    """Whether a scheduler class with that configuration follows a flow from noise to picture."""
    return kind.startswith("FlowMatch") or bool(config.get("use_flow_sigmas"))
