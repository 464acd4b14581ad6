"""The process made visible: moments of a drawing, film strips, sweeps and their answers."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import DDIMScheduler, EulerDiscreteScheduler, FlowMatchEulerDiscreteScheduler
from PIL import Image

from index.encoder import load_encoder
from sovgen.errors import BadRecipe, ModelMissing
from sovgen.generate.generator import generate
from sovgen.generate.watching import Moment, Watched, picture_in
from sovgen.models.load import Model, load_model
from sovgen.recipe import Recipe
from sovgen.seeing import report
from sovgen.seeing.chart import Line, Panel, chart
from sovgen.seeing.film import watch
from sovgen.seeing.strip import film_strip
from sovgen.seeing.sweep import REFERENCE, Measured, Sweep, Way, sweep
from tests import tiny

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

FOX = Recipe("a (red:1.2) fox", seed=5, steps=5, guidance=3.0, width=64, height=64)


@pytest.fixture(scope="module")
def sd2(tiny_models: Path) -> Model:
    """A model that predicts v."""
    return load_model(tiny_models / "sd2", device="cpu", dtype="float32")


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("cls", [DDIMScheduler, EulerDiscreteScheduler])
def test_predicted_picture_is_the_one_that_diffusers_computes(cls: type, kind: str) -> None:
    if kind == "sample" and cls is EulerDiscreteScheduler:
        kind = "v_prediction"
    settings = {"clip_sample": False} if cls is DDIMScheduler else {}
    scheduler = cls(prediction_type=kind, beta_schedule="scaled_linear", **settings)
    told: list[Moment] = []
    watched = Watched(scheduler, told.append)
    watched.set_timesteps(5)
    source = torch.Generator().manual_seed(0)
    latents = torch.randn(1, 4, 8, 8, generator=source) * float(scheduler.init_noise_sigma)
    for timestep in watched.timesteps:
        answer = torch.randn(1, 4, 8, 8, generator=source)
        scheduler.scale_model_input(latents, timestep)
        done = watched.step(answer, timestep, latents)
        theirs = done.pred_original_sample
        assert torch.allclose(told[-1].predicted, theirs, rtol=1e-3, atol=1e-3 * theirs.std())
        latents = done.prev_sample
    noise = [moment.noise for moment in told]
    assert noise == sorted(noise, reverse=True) and noise[0] > 0.97
    assert all(math.isclose(m.alpha**2 + m.sigma**2, 1.0) for m in told)


def test_flow_goes_straight_from_noise_to_the_picture() -> None:
    scheduler = FlowMatchEulerDiscreteScheduler()
    told: list[Moment] = []
    watched = Watched(scheduler, told.append)
    watched.set_timesteps(4)
    picture, noise = torch.randn(2, 1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    latents = noise
    for timestep in watched.timesteps:
        latents = watched.step(noise - picture, timestep, latents).prev_sample
        assert torch.allclose(told[-1].predicted, picture, atol=1e-5)
    assert torch.allclose(latents, picture, atol=1e-5)
    assert told[0].noise == 1.0


def test_picture_is_found_in_any_mixture() -> None:
    picture, noise = torch.randn(2, 1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    alpha, sigma = 0.6, 0.8
    noisy = alpha * picture + sigma * noise
    for kind, answer in (
        ("epsilon", noise),
        ("v_prediction", alpha * noise - sigma * picture),
        ("sample", picture),
    ):
        assert torch.allclose(picture_in(noisy, answer, alpha, sigma, kind), picture, atol=1e-6)


@pytest.mark.parametrize(
    "sampler", ["ddim", "euler", "heun", "dpm++ 2m", "unipc", "dpm2", "pndm", "euler a"]
)
def test_film_ends_at_the_picture_that_drawing_gives(sd2: Model, sampler: str) -> None:
    recipe = replace(FOX, sampler=sampler)
    film = watch(sd2, recipe, 3)
    [drawn] = generate(sd2, [recipe])
    assert film.picture == drawn.image
    assert [frame.step for frame in film.frames][0] == 1
    assert film.frames[-1].step == film.steps
    noise = [frame.noise for frame in film.frames]
    assert noise == sorted(noise, reverse=True)


def test_film_has_the_additions_of_the_recipe(sd2: Model, tmp_path: Path) -> None:
    tiny.vae(scaling_factor=0.3).save_pretrained(tmp_path / "soft")
    recipe = replace(FOX, vae=str(tmp_path / "soft"))
    [drawn] = generate(sd2, [recipe])
    assert watch(sd2, recipe, 2).picture == drawn.image
    with pytest.raises(ModelMissing):
        watch(sd2, replace(FOX, loras=("nowhere",)), 2)
    [plain] = generate(sd2, [FOX])
    assert watch(sd2, FOX, 2).picture == plain.image


def test_film_lets_another_picture_dissolve(sd2: Model) -> None:
    film = watch(sd2, FOX, 9, Image.new("RGB", (90, 64), "red"))
    assert film.source.size == (64, 64)
    assert len(film.frames) == film.steps == 5
    strip = film_strip(film, 32)
    assert strip.width > 6 * 32
    assert strip.height > 3 * 32


def test_sweep_measures_every_way_against_many_steps(sd2: Model) -> None:
    recipes = [replace(FOX, seed=seed) for seed in (1, 2)]
    encoder = load_encoder()
    seen: list[tuple[int, int]] = []
    swept = sweep(sd2, encoder, recipes, ["ddim"], [1.0], [1, 2], lambda i, n: seen.append((i, n)))
    assert [(m.way.guidance, m.way.steps) for m in swept.ways] == [(1, 1), (1, 2)]
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert all(m.similarity == pytest.approx(1, abs=1e-5) for m in swept.references)
    assert all(m.seconds > 0 and -1 <= m.adherence <= 1 for m in swept.ways)
    assert [row["steps"] for row in report.rows(swept)] == [1, 2, REFERENCE]
    assert report.grid(swept, 32).height > 32
    assert report.plot(swept).width > 500
    assert "sd2 on cpu in float32" in report.answer(swept, sd2)
    with pytest.raises(BadRecipe, match="no sampler"):
        sweep(sd2, encoder, recipes, ["nonesuch"], [1.0], [1])


def test_enough_is_the_fewest_steps_that_keep_both_qualities(sd2: Model) -> None:
    def measured(steps: int, adherence: float, similarity: float) -> Measured:
        image = Image.new("RGB", (8, 8))
        return Measured(Way("ddim", 3.0, steps), steps / 10, adherence, similarity, image)

    whole = measured(REFERENCE, 0.30, 1.0)
    ways = [measured(2, 0.30, 0.90), measured(4, 0.28, 0.97), measured(8, 0.295, 0.96)]
    swept = Sweep([*ways, measured(16, 0.30, 0.99)], [whole])
    assert swept.enough() == ways[2]
    assert report.answer(swept, sd2).startswith("8 steps of ddim, guidance 3 are enough for sd2")
    assert report.answer(Sweep(ways[:2], [whole]), sd2).startswith("None of these is enough")
    truer = replace(measured(REFERENCE, 0.40, 1.0), way=Way("ddim", 7.0, REFERENCE))
    assert Sweep(ways, [whole, truer]).enough() is None


def test_chart_of_one_point_and_of_many_is_drawn() -> None:
    for points in ([(1.0, 0.5, "1")], [(0.001, 1.0, "a"), (1000.0, 2.0, "b")]):
        image = chart([Panel("title", "x", [Line("line", points)])])
        colours = {colour for _, colour in image.getcolors(1 << 16) or ()}
        assert (0x1F, 0x6F, 0xB4) in colours
