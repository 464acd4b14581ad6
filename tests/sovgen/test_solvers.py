"""Samplers that diffusers does not have step as their authors wrote."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
from torch import Tensor

from sovgen.errors import BadRecipe
from sovgen.generate.conditioning import condition
from sovgen.generate.filling import fill
from sovgen.generate.generator import generate
from sovgen.generate.restart import restarts
from sovgen.generate.sampling import denoise, draw_noise, generators
from sovgen.generate.schedulers import build_scheduler, scheduler_of
from sovgen.generate.singlestep import orders
from sovgen.generate.watching import Moment
from sovgen.models.load import Model, load_model
from sovgen.recipe import Recipe
from sovgen.seeing.film import watch
from tests import tiny
from tests.sovgen.scenes import SHADES

pytestmark = [
    # diffusers' schedulers meet numpy 2.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:diffusers"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:numpy"),
]

TOLERANCE = 1e-4
FOX = Recipe("a fox", seed=5, steps=7, guidance=1.0, width=64, height=64)
SOLVERS = ("dpm++ 3m sde", "restart", "dpm fast", "ddim cfg++", "ipndm", "ipndm v")
Predict = Callable[[Tensor, float, float], Tensor]


@pytest.fixture(scope="module")
def sd1(tiny_models: Path) -> Model:
    return load_model(tiny_models / "sd1", device="cpu", dtype="float32")


@torch.inference_mode()
def ours(
    model: Model, *recipes: Recipe, on_moment: Callable[[Moment], None] | None = None
) -> Tensor:
    chances = generators([recipe.seed or 0 for recipe in recipes])
    noise = draw_noise(model, 64, 64, chances)
    texts = condition(
        model, [r.prompt for r in recipes], [r.negative for r in recipes], guided=True
    )
    return denoise(model, texts, noise, chances, fill(model, recipes[0]), on_moment=on_moment)


def answer(model: Model, x: Tensor, t: Tensor, states: Tensor) -> Tensor:
    [made] = model.denoiser(x, t, encoder_hidden_states=states, return_dict=False)
    return made  # type: ignore[no-any-return]


def start(model: Model) -> tuple[torch.Generator, Tensor, Predict]:
    """The picture's generator, its unit noise, and what the model predicts at sigma and t."""
    [chance] = generators([FOX.seed or 0])
    states = condition(model, [FOX.prompt], [""], guided=False).states

    def predict(x: Tensor, sigma: float, t: float) -> Tensor:
        seen = x / (sigma**2 + 1) ** 0.5
        when = torch.tensor(t)
        return x - sigma * answer(model, seen, when, states)

    return chance, draw_noise(model, 64, 64, [chance]), predict


def levels(model: Model, steps: int, **settings: object) -> tuple[list[float], list[float], float]:
    """Sigmas down to 0 and timesteps by diffusers' Euler, and what noise is scaled by."""
    scheduler = diffusers.EulerDiscreteScheduler.from_config(model.own_scheduler.config, **settings)
    scheduler.set_timesteps(steps)
    return (
        scheduler.sigmas.double().tolist(),
        scheduler.timesteps.double().tolist(),
        float(scheduler.init_noise_sigma),
    )


@pytest.mark.parametrize("karras", [False, True])
@pytest.mark.parametrize("name", ["IPNDM", "IPNDM_V"])
def test_ipndm_follows_a_polynomial_through_four_slopes(
    sd1: Model, name: str, karras: bool
) -> None:
    expected = by_hand_ipndm(sd1, varying=name == "IPNDM_V", karras=karras)
    made = ours(sd1, replace(FOX, sampler=f"{name} Karras" if karras else name))
    assert torch.allclose(made, expected, atol=TOLERANCE)


CONSTANT = (
    [1],
    [3 / 2, -1 / 2],
    [23 / 12, -16 / 12, 5 / 12],
    [55 / 24, -59 / 24, 37 / 24, -9 / 24],
)


@torch.inference_mode()
def by_hand_ipndm(model: Model, varying: bool, karras: bool) -> Tensor:
    """By the table of Adams and Bashforth, or else by fitting the polynomial and integrating it."""
    sigmas, times, scale = levels(model, 7, use_karras_sigmas=karras)
    _, noise, predict = start(model)
    x, slopes = noise * scale, list[Tensor]()
    for i, (sigma, below) in enumerate(pairwise(sigmas)):
        slopes.append((x - predict(x, sigma, times[i])) / sigma)
        recent = slopes[-4:][::-1]
        if below == 0:
            x = x - sigma * recent[0]
        elif varying:
            at = np.array(sigmas[i::-1][: len(recent)])
            through = np.linalg.solve(np.vander(at, increasing=True), np.eye(len(at)))
            powers = np.arange(1, len(at) + 1)
            shares = ((below**powers - sigma**powers) / powers) @ through
            x = x + sum(float(s) * d for s, d in zip(shares, recent, strict=True))
        else:
            shares = CONSTANT[len(recent) - 1]
            x = x + (below - sigma) * sum(s * d for s, d in zip(shares, recent, strict=True))
    return x


@pytest.mark.parametrize("schedule", [None, "karras"])
def test_third_order_sde_steps_as_its_authors_wrote(sd1: Model, schedule: str | None) -> None:
    scheduler = build_scheduler("DPM++ 3M SDE", sd1.own_scheduler, schedule)
    scheduler.set_timesteps(20)
    ours, theirs = generators([5])[0], generators([5])[0]
    x, seen = torch.ones(1, 4, 2, 2), list[Tensor]()
    for at, when in enumerate(scheduler.timesteps[:8]):
        sigma, below = scheduler.sigmas[at : at + 2].double()
        noise = torch.randn(x.shape, generator=theirs)
        seen.insert(0, (sigma**2 + 1) ** 0.5 * x - sigma * 0.3 * x)
        made = scheduler.step(0.3 * x, when, x, generator=ours).prev_sample
        if at > 1:
            lengths = -scheduler.sigmas[at - 2 : at + 2].double().log().diff().flip(0)
            expected = by_hand_third(x * (sigma**2 + 1) ** 0.5, below, lengths, seen, noise)
            assert torch.allclose(made, (expected / (below**2 + 1) ** 0.5).float(), atol=1e-5)
        x = made


def by_hand_third(
    x: Tensor, below: Tensor, lengths: Tensor, seen: list[Tensor], noise: Tensor
) -> Tensor:
    """Where x is picture + sigma * noise, and lengths are those of the steps, the newest first."""
    h, h1, h2 = lengths
    d10, d11 = (seen[0] - seen[1]) / (h1 / h), (seen[1] - seen[2]) / (h2 / h)
    d1 = d10 + (d10 - d11) * h1 / (h1 + h2)
    d2 = (d10 - d11) / ((h1 + h2) / h)
    phi2 = torch.expm1(-2 * h) / (2 * h) + 1
    phi3 = phi2 / (2 * h) - 0.5
    x = torch.exp(-2 * h) * x - torch.expm1(-2 * h) * seen[0] + phi2 * d1 - phi3 * d2
    return x + noise * below * (-torch.expm1(-2 * h)).sqrt()


def test_third_order_sde_comes_to_the_right_spread(sd1: Model) -> None:
    """Of pictures that are all Gaussian noise of spread 0.5, whose denoiser is a number."""
    scheduler = build_scheduler("DPM++ 3M SDE", sd1.own_scheduler, "karras")
    scheduler.set_timesteps(20)
    chance = generators([5])[0]
    x = torch.randn(100_000, generator=chance)
    for at, when in enumerate(scheduler.timesteps):
        alpha = (scheduler.sigmas[at].double() ** 2 + 1) ** -0.5
        share = (1 - alpha**2) ** 0.5 / (0.25 * alpha**2 + 1 - alpha**2)
        x = scheduler.step((share * x).float(), when, x, generator=chance).prev_sample
    assert 0.49 < float(x.std()) < 0.515


@pytest.mark.parametrize("steps", [7, 20, 36])
@pytest.mark.parametrize("karras", [False, True])
def test_restart_goes_back_into_the_noise_as_its_authors_wrote(
    sd1: Model, steps: int, karras: bool
) -> None:
    name = "Restart Karras" if karras else "Restart"
    made = ours(sd1, replace(FOX, sampler=name, steps=steps))
    assert torch.allclose(made, by_hand_restart(sd1, steps, karras), atol=5 * TOLERANCE)


@torch.inference_mode()
def by_hand_restart(model: Model, steps: int, karras: bool) -> Tensor:
    plan = {7: (7, 0, 0), 20: (11, 9, 1), 36: (18, 9, 2)}
    first, length, times = plan[steps]
    sigmas, when, scale = levels(model, first, use_karras_sigmas=karras)
    clean, noisy = (min(range(first), key=lambda i: abs(sigmas[i] - level)) for level in (0.1, 2.0))
    ramp = np.linspace(sigmas[noisy] ** (1 / 7), sigmas[clean] ** (1 / 7), length + 1) ** 7
    chance, noise, predict = start(model)
    trained = model.own_scheduler.alphas_cumprod.double()
    logs = ((1 - trained) / trained).sqrt().log().numpy()

    def heun(x: Tensor, sigma: float, below: float) -> Tensor:
        t, then = (
            float(np.interp(np.log(max(s, 1e-9)), logs, range(1000))) for s in (sigma, below)
        )
        d = (x - predict(x, sigma, t)) / sigma
        if below == 0:
            return x - sigma * d
        there = x + (below - sigma) * d
        return x + (below - sigma) * (d + (there - predict(there, below, then)) / below) / 2

    x = noise * scale
    for i, (sigma, below) in enumerate(pairwise(sigmas)):
        x = heun(x, sigma, below)
        for _ in range(times if i + 1 == clean else 0):
            x = x + (ramp[0] ** 2 - ramp[-1] ** 2) ** 0.5 * torch.randn(x.shape, generator=chance)
            for high, low in pairwise(ramp):
                x = heun(x, float(high), float(low))
    return x


def test_restarts_take_as_many_steps_as_in_a1111() -> None:
    assert [restarts(n) for n in (1, 19, 20, 35, 36, 50)] == [
        *((0, 0), (0, 0), (9, 1), (9, 1), (9, 2), (12, 2))
    ]


@pytest.mark.parametrize("steps", [1, 19, 20, 36, 1000])
def test_a_restart_is_among_the_steps_and_not_beside_them(sd1: Model, steps: int) -> None:
    for schedule in (None, "karras", "simple", "kl optimal"):
        scheduler = build_scheduler("restart", sd1.own_scheduler, schedule)
        scheduler.set_timesteps(steps)
        assert len(scheduler.timesteps) == len(scheduler.sigmas) - 1 == 2 * steps - 1
        upward = (scheduler.sigmas.diff() > 0).sum()
        assert int(upward) == restarts(steps)[1]


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5, 9])
def test_dpm_fast_asks_as_often_as_there_are_steps(sd1: Model, steps: int) -> None:
    made = ours(sd1, replace(FOX, sampler="DPM fast", steps=steps))
    assert torch.allclose(made, by_hand_fast(sd1, steps), atol=TOLERANCE)


@torch.inference_mode()
def by_hand_fast(model: Model, steps: int) -> Tensor:
    """By algorithms 1 and 2 of the paper, where alpha is 1 and x is picture + sigma * noise."""
    plan = {1: [1], 2: [2], 3: [2, 1], 4: [3, 1], 5: [3, 2], 9: [3, 3, 2, 1]}[steps]
    kept = model.own_scheduler.alphas_cumprod.double()
    trained = ((1 - kept) / kept).sqrt().log().numpy()
    _, noise, predict = start(model)
    x = noise * levels(model, steps, timestep_spacing="linspace")[2]
    if model.own_scheduler.config.get("timestep_spacing", "leading") == "leading":
        x = noise * float((np.exp(2 * trained[-1]) + 1) ** 0.5)

    def noise_at(x: Tensor, lam: float) -> Tensor:
        sigma = float(np.exp(-lam))
        return (x - predict(x, sigma, float(np.interp(-lam, trained, range(1000))))) / sigma

    for lam, then in pairwise(np.linspace(-trained[-1], -trained[0], len(plan) + 1)):
        h, k = float(then - lam), plan.pop(0)
        first = noise_at(x, lam)
        if k == 1:
            x = x - float(np.exp(-then) * np.expm1(h)) * first
        elif k == 2:
            u = x - float(np.exp(-lam - h / 2) * np.expm1(h / 2)) * first
            d = noise_at(u, lam + h / 2) - first
            x = x - float(np.exp(-then) * np.expm1(h)) * (first + d)
        else:
            u = x - float(np.exp(-lam - h / 3) * np.expm1(h / 3)) * first
            d = noise_at(u, lam + h / 3) - first
            two = 2 * h / 3
            away = 2 * (np.expm1(two) / two - 1)
            u = x - float(np.exp(-lam - two)) * (float(np.expm1(two)) * first + float(away) * d)
            d = noise_at(u, lam + two) - first
            away = 1.5 * (np.expm1(h) / h - 1)
            x = x - float(np.exp(-then)) * (float(np.expm1(h)) * first + float(away) * d)
    return x


def test_dpm_fast_lays_out_orders_as_its_authors_did() -> None:
    for n in range(1, 40):
        laid = orders(n)
        assert sum(laid) == n and len(laid) == n // 3 + 1


def test_dpm_fast_that_begins_within_a_step_takes_its_rest_with_a_lower_order(sd1: Model) -> None:
    """From the second of three evaluations on as with two, from the third on as with one."""
    scheduler = build_scheduler("dpm fast", sd1.own_scheduler)
    for begin, order in ((0, 3), (1, 2), (2, 1)):
        errors = []
        for steps in (10, 40):
            scheduler.set_timesteps(steps)
            scheduler.set_begin_index(begin)
            errors.append(gaussian_error(scheduler, begin, 3) / span(scheduler, begin, 3))
        # The error of one step falls by one order more than that of many.
        assert errors[1] < errors[0] / 3**order, (begin, errors)


def span(scheduler: object, begin: int, end: int) -> float:
    sigmas = scheduler.sigmas.double()  # type: ignore[attr-defined]
    return float((sigmas[begin] / sigmas[end]).log())


def gaussian_error(scheduler: object, begin: int = 0, end: int | None = None) -> float:
    """How far off the way of Gaussian data is, of which the best prediction is x / (1 + sigma²)."""
    s: diffusers.EulerDiscreteScheduler = scheduler  # type: ignore[assignment]
    end = len(s.timesteps) if end is None else end
    spread = (1 + s.sigmas.double() ** 2).sqrt()
    x = spread[begin].float().reshape(1, 1)
    for t in s.timesteps[begin:end]:
        s.scale_model_input(x, t)
        sigma = s.sigmas[s.step_index]
        x = s.step(x * sigma / (1 + sigma**2), t, x, return_dict=False)[0]
    return float((x.double() / spread[end] - 1).abs())


@pytest.mark.parametrize(
    ("name", "order"), [("dpm fast", 2.5), ("ipndm", 2.0), ("ipndm v", 2.0), ("euler", 0.9)]
)
def test_errors_fall_with_the_order_of_the_sampler(sd1: Model, name: str, order: float) -> None:
    errors = []
    for steps in (12, 24, 48):
        scheduler = build_scheduler(name, sd1.own_scheduler)
        if name == "dpm fast":
            scheduler.set_timesteps(steps)
        else:
            scheduler.set_timesteps(sigmas=np.linspace(5, 1, steps + 1).tolist())
        scheduler.set_begin_index(0)
        errors.append(gaussian_error(scheduler))
    fallen = [float(np.log2(a / b)) for a, b in pairwise(errors)]
    assert min(fallen) > order, (errors, fallen)


@pytest.mark.parametrize("name", ["ipndm", "ipndm v"])
def test_ipndm_is_exact_for_slopes_of_order_four(sd1: Model, name: str) -> None:
    """A slope that is a cubic in sigma, once four were passed; of steps of any length for _V."""
    mesh = np.linspace(5, 1, 9)
    sigmas = mesh if name == "ipndm" else mesh**1.3
    scheduler = build_scheduler(name, sd1.own_scheduler)
    scheduler.set_timesteps(sigmas=sigmas.tolist())
    scheduler.set_begin_index(0)
    cubic = np.poly1d([0.3, -1.0, 0.5, 2.0])
    x, reached = torch.zeros(1, 1), []
    for t in scheduler.timesteps:
        scheduler.scale_model_input(x, t)
        slope = torch.full((1, 1), float(cubic(float(scheduler.sigmas[scheduler.step_index]))))
        x = scheduler.step(slope, t, x, return_dict=False)[0]
        reached.append(float(x))
    true = cubic.integ()(sigmas)
    assert reached[-1] - reached[2] == pytest.approx(float(true[8] - true[3]), rel=1e-4)


def test_ddim_cfg_puts_back_the_noise_of_the_unguided_answer(sd1: Model) -> None:
    recipe = replace(FOX, sampler="DDIM CFG++", guidance=7.5, negative="a dog")
    made = ours(sd1, recipe)
    assert torch.allclose(made, by_hand_cfg(sd1, range(7)), atol=TOLERANCE)
    plain = ours(sd1, replace(recipe, sampler="ddim"))
    assert float((made - plain).abs().max()) > 20 * TOLERANCE


@torch.inference_mode()
def by_hand_cfg(model: Model, guided: Sequence[int]) -> Tensor:
    scheduler = build_scheduler("ddim", model.own_scheduler)
    scheduler.set_timesteps(7)
    texts = condition(model, ["a fox"], ["a dog"], guided=True)
    assert texts.negative_states is not None
    _, x, _ = start(model)
    for i, t in enumerate(scheduler.timesteps):
        wanted, unwanted = (
            answer(model, x, t, states) for states in (texts.states, texts.negative_states)
        )
        kept, below = scheduler.alphas_cumprod[t], int(t) - 1000 // 7
        then = scheduler.alphas_cumprod[below] if below >= 0 else scheduler.final_alpha_cumprod
        guess = unwanted + 7.5 / 12.5 * (wanted - unwanted) if i in guided else wanted
        picture = (x - (1 - kept) ** 0.5 * guess) / kept**0.5
        # Models that say nothing of it are clipped by diffusers.
        picture = picture.clamp(-1, 1) if scheduler.config.clip_sample else picture
        x = then**0.5 * picture + (1 - then) ** 0.5 * (unwanted if i in guided else wanted)
    return x


def test_ddim_cfg_is_ddim_where_guidance_does_not_act(sd1: Model) -> None:
    recipe = replace(FOX, sampler="DDIM CFG++", guidance=7.5, negative="a dog")
    part = replace(recipe, guidance_from=0.25, guidance_until=0.8)
    assert torch.allclose(ours(sd1, part), by_hand_cfg(sd1, range(2, 6)), atol=TOLERANCE)
    off = replace(recipe, guidance=1.0)
    assert torch.equal(ours(sd1, off), ours(sd1, replace(off, sampler="ddim")))


def test_ddim_cfg_is_told_as_it_is_stepped(sd1: Model) -> None:
    told: list[Moment] = []
    recipe = replace(FOX, sampler="DDIM CFG++", negative="a dog", guidance=12.5)
    ours(sd1, recipe, on_moment=told.append)
    alone = list(told)
    told.clear()
    # The whole of the prompted answer is what it is without guidance.
    ours(sd1, replace(recipe, guidance=1.0), on_moment=told.append)
    assert torch.allclose(alone[0].predicted, told[0].predicted, rtol=1e-3, atol=1e-2)
    ours(sd1, replace(recipe, guidance=40.0), on_moment=told.append)
    assert not torch.allclose(alone[0].predicted, told[7].predicted, rtol=1e-3, atol=1e-2)


def test_ddim_cfg_rescales_what_it_guided(sd1: Model) -> None:
    recipe = replace(FOX, sampler="DDIM CFG++", guidance=12.5, negative="a dog")
    whole, half = (ours(sd1, replace(recipe, guidance_rescale=r)) for r in (None, 0.5))
    # With the whole of the prompted answer there is nothing to bring back to its spread.
    assert torch.allclose(whole, half, atol=TOLERANCE)
    strong = replace(recipe, guidance=40.0)
    apart = ours(sd1, strong) - ours(sd1, replace(strong, guidance_rescale=0.7))
    assert float(apart.abs().max()) > 20 * TOLERANCE


def test_ddim_cfg_is_refused_where_no_half_is_computed(tmp_path: Path) -> None:
    pipe = tiny.sd1()
    unet = diffusers.UNet2DConditionModel
    pipe.unet = unet.from_config(pipe.unet.config, time_cond_proj_dim=32)
    pipe.save_pretrained(tmp_path)
    model = load_model(tmp_path, device="cpu", dtype="float32")
    with pytest.raises(BadRecipe, match="distilled to draw without a negative half"):
        fill(model, replace(FOX, sampler="ddim cfg++"))


def recipes(name: str) -> Iterator[Recipe]:
    steps = 22 if name == "restart" else 8
    for seed, prompt in ((1, "a fox"), (2, "a house"), (3, "")):
        yield replace(FOX, sampler=name, seed=seed, prompt=prompt, steps=steps, guidance=3.0)


@pytest.mark.parametrize("name", SOLVERS)
def test_alone_in_a_batch_and_again_are_one_picture(sd1: Model, name: str) -> None:
    together = ours(sd1, *recipes(name))
    for recipe, drawn in zip(recipes(name), together, strict=True):
        alone = ours(sd1, recipe)
        assert torch.allclose(alone[0], drawn, atol=TOLERANCE)
        assert torch.equal(ours(sd1, recipe), alone)


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("strength", [0.25, 0.5, 0.9])
def test_a_picture_is_begun_from(sd1: Model, name: str, strength: float) -> None:
    sources = {"shades": SHADES}
    begun = [replace(r, init="shades", strength=strength) for r in recipes(name)]
    together = [np.asarray(p.image, int) for p in generate(sd1, begun, batch=3, sources=sources)]
    for recipe, drawn in zip(begun, together, strict=True):
        [alone] = generate(sd1, [recipe], sources=sources)
        assert np.abs(np.asarray(alone.image, int) - drawn).max() <= 1
    assert np.abs(together[0] - together[1]).max() > 1


@pytest.mark.parametrize("name", SOLVERS)
def test_explain_ends_at_the_picture(sd1: Model, name: str) -> None:
    recipe = next(recipes(name))
    film = watch(sd1, recipe, 3)
    [drawn] = generate(sd1, [recipe])
    assert film.picture == drawn.image


def test_a_restart_is_handed_to_a_refiner_when_it_is_through(sd1: Model) -> None:
    from sovgen.generate.beginning import Late

    until, since = (
        Late(scheduler_of(sd1, fill(sd1, next(recipes("restart")))), **part)
        for part in ({"until": 0.8}, {"since": 0.8})
    )
    until.set_timesteps(22)
    since.set_timesteps(22)
    assert len(until.timesteps) + len(since.timesteps) == 2 * 22 - 1
    assert float(since.timesteps.max()) < 200 <= float(until.timesteps[-2])
