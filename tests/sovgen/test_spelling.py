"""Samplers and schedules are known under the names of others, and what is left out has a reason."""

from __future__ import annotations

import importlib.util

import diffusers
import pytest
from diffusers.schedulers import KarrasDiffusionSchedulers

from sovgen.errors import BadRecipe
from sovgen.recipe import Recipe
from sovgen.samplers import OURS, SAMPLERS, name_of
from sovgen.spelling import ALIASES, SCHEDULES, read_schedule, settle

pytestmark = [
    # diffusers' schedulers meet numpy 2.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:diffusers"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:numpy"),
]

# What diffusers says goes with Stable Diffusion, and what else is made for it.
CLASSES = {kind.name for kind in KarrasDiffusionSchedulers} | {
    *("SASolverScheduler", "LCMScheduler", "TCDScheduler"),
}
# Of these the one would need torchsde to be made, and the other is of models of its own.
UNDRAWN = {"DPMSolverSDEScheduler", "EDMEulerScheduler"}
SPELT = {
    "Euler a": ("euler a", None),
    "euler_ancestral": ("euler a", None),
    "DPM++ 2M Karras": ("dpm++ 2m", "karras"),
    "dpm++-2m_KARRAS": ("dpm++ 2m", "karras"),
    "DPM++ 2M SDE Exponential": ("dpm++ 2m sde", "exponential"),
    "DPM++ 3M SDE Exponential": ("dpm++ 3m sde", "exponential"),
    "DPM++ 2M SDE Heun": ("dpm++ 2m sde heun", None),
    "DPM++ 2M SDE Heun Karras": ("dpm++ 2m sde heun", "karras"),
    "DPM++ 2M SDE Heun Exponential": ("dpm++ 2m sde heun", "exponential"),
    "DPM++ SDE Karras": ("dpm++ sde", "karras"),
    "LMS Polyexponential": ("lms", "exponential"),
    "DPM++ 2S a Karras": ("dpm++ 2s a", "karras"),
    "DPM++ 2S Ancestral": ("dpm++ 2s a", None),
    "Restart Karras": ("restart", "karras"),
    "dpm_fast": ("dpm fast", None),
    "DDIM CFG++": ("ddim cfg++", None),
    "IPNDM": ("ipndm", None),
    "IPNDM_V": ("ipndm v", None),
    "Euler Beta": ("euler", "beta"),
    "Euler SGM Uniform": ("euler", "simple"),
    "Euler Simple": ("euler", "simple"),
    "Heun Uniform": ("heun", None),
    "DPM2 Automatic": ("dpm2", None),
    "EulerDiscreteScheduler Karras": ("euler", "karras"),
    "UniPC": ("unipc", None),
    "EDMEulerScheduler": ("EDMEulerScheduler", None),
    "FlowMatchEulerDiscreteScheduler": ("FlowMatchEulerDiscreteScheduler", None),
}
LEFT_OUT = {
    "DPMSolverSDEScheduler": ("whole batch", "dpm++ sde"),
    "dpmsolver_sde": ("whole batch", "dpm++ sde"),
    "DPM adaptive": ("number of its steps", "dpm++ 2m"),
    "HeunPP2": ("ask less often", "heun"),
    "IPNDMScheduler": ("noise schedule of its own", "ipndm"),
}


@pytest.mark.parametrize("asked", SPELT)
def test_sampler_is_known_by_the_names_of_others(asked: str) -> None:
    assert settle(asked, None) == SPELT[asked]
    assert Recipe("a fox", sampler=asked).sampler == asked


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_schedule_may_end_a_samplers_name(name: str) -> None:
    for schedule in SCHEDULES:
        assert settle(f"{name} {schedule}", None) == settle(name, schedule) == (name, schedule)


@pytest.mark.parametrize("kind", sorted(CLASSES - UNDRAWN))
def test_class_is_the_sampler_that_its_defaults_make(kind: str) -> None:
    if kind == "LMSDiscreteScheduler" and importlib.util.find_spec("scipy") is None:
        pytest.skip("it needs scipy")
    defaults = getattr(diffusers, kind)().config
    assert settle(kind, None) == (name_of(kind, defaults), None)


def test_every_class_of_the_table_has_its_name() -> None:
    assert {s.scheduler for s in SAMPLERS.values()} - set(OURS) == CLASSES - UNDRAWN


@pytest.mark.parametrize("asked", LEFT_OUT)
def test_sampler_that_is_left_out_has_its_reason_and_what_to_take_instead(asked: str) -> None:
    why, instead = LEFT_OUT[asked]
    with pytest.raises(BadRecipe, match=why) as caught:
        Recipe("a fox", sampler=asked)
    assert asked in str(caught.value)
    assert f"Use {instead}" in caught.value.hint
    assert instead in SAMPLERS


def test_a_near_miss_is_told() -> None:
    with pytest.raises(BadRecipe, match="no sampler 'eulerr a'") as caught:
        Recipe("a fox", sampler="eulerr a")
    assert "euler a" in caught.value.hint


@pytest.mark.parametrize("asked", ["Karras", "sgm_uniform", "Simple", "Uniform", "Automatic"])
def test_schedule_is_known_by_the_names_of_others(asked: str) -> None:
    assert (read_schedule(asked) or None) == settle(f"euler {asked}", None)[1]


def test_only_what_is_left_open_leaves_a_models_own_schedule() -> None:
    own = "dpm++ 2m karras"
    assert settle(None, None, own) == settle(None, "automatic", own) == ("dpm++ 2m", "karras")
    assert settle(None, "uniform", own) == settle("dpm++ 2m", None, own) == ("dpm++ 2m", None)
    assert settle(None, "beta", own) == ("dpm++ 2m", "beta")


def test_aliases_lead_into_the_table() -> None:
    assert set(ALIASES.values()) <= set(SAMPLERS)
