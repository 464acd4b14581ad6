"""Samplers of diffusers' own classes: each gives the latents of its class, called directly."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch

from sovgen.errors import BadRecipe
from sovgen.generate.conditioning import condition
from sovgen.generate.filling import fill
from sovgen.generate.sampling import denoise, draw_noise, generators
from sovgen.generate.schedulers import build_scheduler, scheduler_of
from sovgen.models.load import Model, load_model
from sovgen.recipe import Recipe
from sovgen.samplers import OURS, SAMPLERS, name_of
from sovgen.spelling import settle

pytestmark = [
    # diffusers' schedulers meet numpy 2.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:diffusers"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:numpy"),
]

TOLERANCE = 1e-4
FOX = Recipe("a fox", seed=5, steps=6, guidance=1.0, width=64, height=64)
MULTI, SINGLE = "DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler"
SDE = {"algorithm_type": "sde-dpmsolver++"}
KARRAS, EXPONENTIAL = {"use_karras_sigmas": True}, {"use_exponential_sigmas": True}
# A1111's name, and by diffusers' documentation the class and the settings that it stands for.
CALLED: dict[str, tuple[str, dict[str, Any]]] = {
    "DDIM": ("DDIMScheduler", {}),
    "DDPM": ("DDPMScheduler", {}),
    "PLMS": ("PNDMScheduler", {"skip_prk_steps": True}),
    "LMS": ("LMSDiscreteScheduler", {}),
    "Euler": ("EulerDiscreteScheduler", {}),
    "Euler SGM Uniform": ("EulerDiscreteScheduler", {"timestep_spacing": "trailing"}),
    "Euler a": ("EulerAncestralDiscreteScheduler", {}),
    "Euler a Simple": ("EulerAncestralDiscreteScheduler", {"timestep_spacing": "trailing"}),
    "Heun": ("HeunDiscreteScheduler", {}),
    "DPM2": ("KDPM2DiscreteScheduler", {}),
    "DPM2 a": ("KDPM2AncestralDiscreteScheduler", {}),
    "DPM2 a Karras": ("KDPM2AncestralDiscreteScheduler", KARRAS),
    "DPM++ 2M": (MULTI, {}),
    "DPM++ 2M Karras": (MULTI, KARRAS),
    "DPM++ 2M SDE": (MULTI, SDE),
    "DPM++ 2M SDE Karras": (MULTI, SDE | KARRAS),
    "DPM++ 2M SDE Exponential": (MULTI, SDE | EXPONENTIAL),
    "DPM++ 2M SDE Heun": (MULTI, SDE | {"solver_type": "heun"}),
    "DPM++ 2M SDE Heun Karras": (MULTI, SDE | KARRAS | {"solver_type": "heun"}),
    "DPM++ 2M SDE Heun Exponential": (MULTI, SDE | EXPONENTIAL | {"solver_type": "heun"}),
    "DPM++ SDE": (SINGLE, SDE),
    "DPM++ SDE Karras": (SINGLE, SDE | KARRAS),
    "DPM++ 2S": (SINGLE, {}),
    "DEIS": ("DEISMultistepScheduler", {}),
    "SA-Solver": ("SASolverScheduler", {}),
    "UniPC": ("UniPCMultistepScheduler", {}),
    "LCM": ("LCMScheduler", {}),
    "TCD": ("TCDScheduler", {}),
}
SCIPY = importlib.util.find_spec("scipy") is not None
WITHOUT_SCIPY_ALONE = [name for name in SAMPLERS if name != "lms" or SCIPY]
WITHOUT_SCIPY = [name for name in CALLED if name != "LMS" or SCIPY]


@pytest.fixture(scope="module")
def sd1(tiny_models: Path) -> Model:
    return load_model(tiny_models / "sd1", device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def called(sd1: Model) -> dict[str, torch.Tensor]:
    """Latents by A1111's name, from steps that diffusers' classes take on their own."""
    return {name: directly(sd1, *CALLED[name]) for name in WITHOUT_SCIPY}


@torch.inference_mode()
def directly(model: Model, kind: str, settings: dict[str, Any]) -> torch.Tensor:
    """Latents by that class alone, its noise drawn from the picture's own generator."""
    scheduler = getattr(diffusers, kind).from_config(model.own_scheduler.config, **settings)
    scheduler.set_timesteps(FOX.steps)
    chances, states = begun(model)
    latents = draw_noise(model, 64, 64, chances) * scheduler.init_noise_sigma
    # Pipelines turn the noise of DDIM and TCD off, which have a say in it.
    given = taken(scheduler.step, generator=chances, eta=0.0)
    for when in scheduler.timesteps:
        seen = scheduler.scale_model_input(latents, when)
        [answer] = model.denoiser(seen, when, encoder_hidden_states=states, return_dict=False)
        latents = scheduler.step(answer, when, latents, return_dict=False, **given)[0]
    return latents


def begun(model: Model) -> tuple[list[torch.Generator], torch.Tensor]:
    return generators([FOX.seed]), condition(model, [FOX.prompt], [""], guided=False).states


def taken(step: Callable[..., Any], **given: object) -> dict[str, object]:
    return {k: v for k, v in given.items() if k in inspect.signature(step).parameters}


@torch.inference_mode()
def ours(model: Model, name: str) -> torch.Tensor:
    chances = generators([FOX.seed])
    noise = draw_noise(model, 64, 64, chances)
    texts = condition(model, [FOX.prompt], [""], guided=False)
    recipe = fill(model, replace(FOX, sampler=name))
    return denoise(model, texts, noise, chances, recipe)


@pytest.mark.parametrize("name", WITHOUT_SCIPY)
def test_steps_are_those_of_diffusers_class(
    sd1: Model, called: dict[str, torch.Tensor], name: str
) -> None:
    assert torch.allclose(ours(sd1, name), called[name], atol=TOLERANCE)


def test_no_sampler_could_stand_in_anothers_place(called: dict[str, torch.Tensor]) -> None:
    for one, other in combinations(called, 2):
        apart = float((called[one] - called[other]).abs().max())
        assert apart > 20 * TOLERANCE, (one, other, apart)


def test_every_sampler_was_called() -> None:
    theirs = {name for name, sampler in SAMPLERS.items() if sampler.scheduler not in OURS}
    assert {settle(name, None)[0] for name in CALLED} == theirs


@pytest.mark.parametrize("schedule", [{}, KARRAS])
def test_dpm_2s_ancestral_steps_as_its_authors_wrote(sd1: Model, schedule: dict[str, Any]) -> None:
    name = "DPM++ 2S a Karras" if schedule else "DPM++ 2S a"
    assert torch.allclose(ours(sd1, name), by_hand_2s_ancestral(sd1, schedule), atol=TOLERANCE)


@torch.inference_mode()
def by_hand_2s_ancestral(model: Model, schedule: dict[str, Any]) -> torch.Tensor:
    """By k-diffusion's formula, in the letters of DPM-Solver++, along diffusers' levels."""
    levels = diffusers.KDPM2AncestralDiscreteScheduler.from_config(
        model.own_scheduler.config, **schedule
    )
    levels.set_timesteps(FOX.steps)
    sigmas = torch.cat([levels.sigmas[:1], levels.sigmas[1::2]])
    [chance], states = begun(model)
    x = draw_noise(model, 64, 64, [chance]) * levels.init_noise_sigma

    def denoised(x: torch.Tensor, sigma: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        seen = x / (sigma**2 + 1) ** 0.5
        return (
            x - sigma * model.denoiser(seen, t, encoder_hidden_states=states, return_dict=False)[0]
        )

    times = iter(levels.timesteps)
    for sigma, below in pairwise(sigmas):
        d = denoised(x, sigma, next(times))
        if below == 0:
            return d
        up = (below**2 * (sigma**2 - below**2) / sigma**2) ** 0.5
        down = (below**2 - up**2) ** 0.5
        h = sigma.log() - down.log()
        u = (-h / 2).exp() * x - (-h / 2).expm1() * d
        d = denoised(u, (sigma * down) ** 0.5, next(times))
        x = (-h).exp() * x - (-h).expm1() * d
        x = x + torch.randn(x.shape, generator=chance) * up
    raise AssertionError("the levels do not end in nought")


# Six of ComfyUI's `kl_optimal` from 14.6146 to 0.0292; and of Align Your Steps' levels for SD 1.5
# every second.
LEVELS = {
    "KL Optimal": [14.6146, 2.6329, 1.2948, 0.7117, 0.3357, 0.0292],
    "Align Your Steps": [14.615, 3.861, 1.886, 0.963, 0.399, 0.029],
}


@pytest.mark.parametrize("schedule", LEVELS)
def test_levels_are_those_of_their_authors(sd1: Model, schedule: str) -> None:
    scheduler = scheduler_of(sd1, fill(sd1, replace(FOX, sampler=f"Euler {schedule}")))
    scheduler.set_timesteps(FOX.steps)
    given = diffusers.EulerDiscreteScheduler.from_config(sd1.own_scheduler.config)
    given.set_timesteps(sigmas=[*LEVELS[schedule], 0.0])
    assert scheduler.sigmas.tolist() == pytest.approx(given.sigmas.tolist(), abs=1e-3)
    assert scheduler.timesteps.tolist() == pytest.approx(given.timesteps.tolist(), abs=0.1)


@pytest.mark.parametrize("schedule", LEVELS)
def test_who_follows_karras_follows_them(sd1: Model, schedule: str) -> None:
    followed = set()
    for name in WITHOUT_SCIPY_ALONE:
        recipe = Recipe("a fox", sampler=name, schedule="karras", steps=6)
        try:
            scheduler_of(sd1, fill(sd1, recipe))
        except BadRecipe:
            with pytest.raises(BadRecipe, match="cannot follow the schedule"):
                scheduler_of(sd1, fill(sd1, replace(recipe, schedule=schedule)))
            continue
        scheduler = scheduler_of(sd1, fill(sd1, replace(recipe, schedule=schedule)))
        scheduler.set_timesteps(6)
        for level in LEVELS[schedule]:
            assert float((scheduler.sigmas - level).abs().min()) < 1e-3, (name, level)
        followed.add(name)
    assert {"dpm++ 2m", "heun", "unipc", "dpm2 a", "dpm++ sde"} <= followed


def test_no_steps_were_aligned_for_other_models(tiny_transformers: Path) -> None:
    recipe = replace(FOX, sampler="euler", schedule="ALIGN_your steps")
    for name, why in (("sd3", "Along a flow"), ("pixart", "for Stable Diffusion 1.5 and XL alone")):
        model = load_model(tiny_transformers / name, device="cpu", dtype="float32")
        with pytest.raises(BadRecipe, match=why):
            scheduler_of(model, fill(model, recipe))


# What was kept of pictures, by a model's own scheduler and no other, since recipes have a sampler.
@pytest.mark.parametrize(
    ("kind", "settings", "kept"),
    [
        ("EulerDiscreteScheduler", {}, "euler"),
        ("EulerDiscreteScheduler", KARRAS, "euler karras"),
        ("EulerDiscreteScheduler", EXPONENTIAL, "euler"),
        ("DEISMultistepScheduler", KARRAS, "deis"),
        (MULTI, {"solver_order": 3}, "dpm++ 2m"),
        (MULTI, SDE | {"solver_type": "heun"} | KARRAS, "dpm++ 2m sde karras"),
        ("EDMEulerScheduler", {}, "EDMEulerScheduler"),
        ("FlowMatchEulerDiscreteScheduler", {"shift": 3.0}, "euler"),
        ("FlowMatchEulerDiscreteScheduler", {"shift": 3.0}, "FlowMatchEulerDiscreteScheduler"),
        ("FlowMatchLCMScheduler", {}, "FlowMatchLCMScheduler"),
    ],
)
def test_kept_recipe_still_draws_with_the_models_own(
    kind: str, settings: dict[str, Any], kept: str
) -> None:
    own = getattr(diffusers, kind)(**settings)
    if not kept.startswith("FlowMatchEuler"):
        assert name_of(kind, own.config) == kept
    built = build_scheduler(kept, own)
    assert type(built) is type(own)
    assert dict(built.config) == dict(own.config)


@pytest.mark.parametrize("settings", [{}, KARRAS])
def test_models_own_third_order_sde_is_mended_too(settings: dict[str, Any]) -> None:
    own = getattr(diffusers, MULTI)(**SDE, solver_order=3, beta_start=0.002, **settings)
    name = name_of(MULTI, own.config)
    assert settle(name, None)[0] == "dpm++ 3m sde"
    built = build_scheduler(name, own)
    assert type(built).__name__ == SAMPLERS["dpm++ 3m sde"].scheduler
    for setting in ("beta_start", "algorithm_type", "solver_order", "use_karras_sigmas"):
        assert built.config[setting] == own.config[setting]


def test_schedule_that_a_class_does_not_have_is_refused_with_its_name(sd1: Model) -> None:
    with pytest.raises(BadRecipe, match="EulerAncestralDiscreteScheduler does not have it"):
        build_scheduler("Euler a Karras", sd1.own_scheduler)
    with pytest.raises(BadRecipe, match="distilled"):
        build_scheduler("LCM Karras", sd1.own_scheduler)
    with pytest.raises(BadRecipe, match="logarithm of the noise"):
        build_scheduler("DPM fast Karras", sd1.own_scheduler)
    with pytest.raises(BadRecipe, match="diffusers' DDIMScheduler does not have it"):
        build_scheduler("DDIM CFG++ Karras", sd1.own_scheduler)


DISTILLED = {"lcm", "tcd"}


@contextmanager
def owning(model: Model, scheduler: Any) -> Iterator[Model]:  # noqa: ANN401
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(model.__dict__, "opened", replace(model.opened, own_scheduler=scheduler))
        yield model


# With Stable Diffusion's offset of 1 some spacings leave the table, or use a timestep twice; and
# diffusers takes one step too many where 1,000 divided by them is rounded down.
@pytest.mark.parametrize("spacing", ["leading", "linspace", "trailing"])
@pytest.mark.parametrize("steps", [61, 103, 998, 999, 1000])
def test_every_number_of_steps_is_taken(sd1: Model, spacing: str, steps: int) -> None:
    own = sd1.own_scheduler
    spaced = type(own).from_config(own.config, timestep_spacing=spacing, steps_offset=1)
    with owning(sd1, spaced) as model:
        for name in set(WITHOUT_SCIPY_ALONE) - DISTILLED:
            scheduler = scheduler_of(model, fill(model, replace(FOX, sampler=name, steps=steps)))
            assert stepped(scheduler, steps).isfinite().all(), name
            assert scheduler.timesteps.min() >= 0, name


@pytest.mark.parametrize("steps", [20, 150, 334, 501])
def test_steps_begin_near_noise_alone(sd1: Model, steps: int) -> None:
    leading = diffusers.DDIMScheduler(timestep_spacing="leading", steps_offset=1)
    with owning(sd1, leading) as model:
        scheduler = scheduler_of(model, fill(model, replace(FOX, sampler="ddim", steps=steps)))
        scheduler.set_timesteps(steps)
    assert len(scheduler.timesteps) == steps
    assert scheduler.timesteps[0] > 900, "where leading ones would begin at 895, 667 and 501"


# Noise alone has no sigma: what stands for it must not be the same for two steps.
@pytest.mark.parametrize("spacing", ["leading", "linspace", "trailing"])
@pytest.mark.parametrize("steps", [20, 50, 100])
def test_steps_from_noise_alone_are_finite(sd1: Model, spacing: str, steps: int) -> None:
    own = diffusers.DDIMScheduler(
        timestep_spacing=spacing,
        steps_offset=1,
        rescale_betas_zero_snr=True,
        prediction_type="v_prediction",
    )
    with owning(sd1, own) as model:
        for name in set(WITHOUT_SCIPY_ALONE) - DISTILLED:
            scheduler = scheduler_of(model, fill(model, replace(FOX, sampler=name, steps=steps)))
            assert stepped(scheduler, steps).isfinite().all(), name


def stepped(scheduler: Any, steps: int) -> torch.Tensor:  # noqa: ANN401
    """Latents, of a denoiser that answers with a tenth of what it sees."""
    scheduler.set_timesteps(steps)
    latents = scheduler.init_noise_sigma * torch.randn(1, 4, 2, 2, generator=generators([1])[0])
    for when in scheduler.timesteps:
        answer = 0.1 * scheduler.scale_model_input(latents, when)
        latents = scheduler.step(answer, when, latents, return_dict=False)[0]
    return latents


@pytest.mark.parametrize("sampler", ["lcm", "tcd"])
def test_distilled_samplers_have_so_many_steps(sd1: Model, sampler: str) -> None:
    scheduler_of(sd1, fill(sd1, replace(FOX, sampler=sampler, steps=50)))
    with pytest.raises(BadRecipe, match="at most 50 steps, not 51"):
        scheduler_of(sd1, fill(sd1, replace(FOX, sampler=sampler, steps=51)))
