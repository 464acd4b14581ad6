"""The process made visible: moments of a drawing, film strips, sweeps and their answers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import DDIMScheduler, EulerDiscreteScheduler, FlowMatchEulerDiscreteScheduler
from PIL import Image

from index.encoder import load_encoder
from index.export.sheet import Band
from sovgen.errors import BadRecipe, BrokenPicture, ModelMissing
from sovgen.generate.generator import generate
from sovgen.generate.watching import Moment, Watched, picture_in
from sovgen.models.load import Model, load_model
from sovgen.picture import Picture
from sovgen.recipe import Recipe
from sovgen.seeing import report, strip
from sovgen.seeing.chart import Line, Panel, chart
from sovgen.seeing.film import watch
from sovgen.seeing.pen import Pen
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
    sheet = film_strip(film, 32)
    assert sheet.width > 6 * 32
    assert sheet.height > 3 * 32


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
    told = report.answer(Sweep(ways[:2], [whole]), sd2)
    assert told.startswith("None of these is enough") and "adherence is 0.280 against 0.300" in told
    told = report.answer(Sweep(ways[:1], [whole]), sd2)
    assert "2 of ddim, guidance 3, is 0.900 like them, and 0.95 is asked" in told
    # A truer picture of another guidance is no measure of these.
    truer = replace(measured(REFERENCE, 0.40, 1.0), way=Way("ddim", 7.0, REFERENCE))
    assert Sweep(ways, [whole, truer]).enough() == ways[2]
    # Fewer steps of a slower sampler take longer.
    slow = replace(measured(4, 0.30, 0.99), seconds=9.0)
    assert Sweep([slow, ways[2]], [whole]).enough() == ways[2]


def test_sweep_tells_of_the_way_that_fails_and_measures_the_rest(
    sd2: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaking(model: Model, recipes: list[Recipe]) -> Iterator[Picture]:
        way = recipes[0].sampler, recipes[0].steps
        if way in {("euler", 2), ("heun", REFERENCE)}:
            return _broken()
        return generate(model, [replace(recipe, steps=1) for recipe in recipes])

    monkeypatch.setattr("sovgen.seeing.sweep.generate", breaking)
    swept = sweep(sd2, load_encoder(), [FOX], ["euler", "heun", "ddim"], [1.0], [1, 2])
    assert [(one.way.sampler, one.way.steps) for one in swept.failed] == [
        ("euler", 2),
        ("heun", REFERENCE),
    ]
    steps = [(m.way.sampler, m.way.steps) for m in swept.ways]
    assert steps == [("euler", 1), ("ddim", 1), ("ddim", 2)]
    assert report.failed_row(swept.failed[0])["why"] == "NaN"
    with pytest.raises(BrokenPicture):
        sweep(sd2, load_encoder(), [FOX], ["heun"], [1.0], [1, 2])


def _broken() -> Iterator[Picture]:
    raise BrokenPicture("NaN")
    yield  # what makes it fail when it is drawn, not when it is asked for


def test_sweep_refuses_samplers_without_a_reference_before_drawing(
    sd2: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawings = list[object]()
    monkeypatch.setattr("sovgen.seeing.sweep._warm", lambda *given: drawings.append(given))
    with pytest.raises(BadRecipe, match=r"lcm takes at most 50 steps.*tcd takes at most") as caught:
        sweep(sd2, load_encoder(), [FOX], ["ddim", "lcm", "tcd"], [1.0], [2])
    assert caught.value.hint.endswith("leave out lcm, tcd.") and drawings == []


def test_sheets_of_a_sweep_go_from_few_steps_to_many(monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(steps: int) -> Measured:
        return Measured(Way("ddim", 3.0, steps), steps / 10, 0.3, 1.0, Image.new("RGB", (8, 8)))

    swept = Sweep([measured(8), measured(2), measured(4)], [measured(REFERENCE)])
    assert [row["steps"] for row in report.rows(swept)] == [2, 4, 8, REFERENCE]
    lines = list[Line]()
    monkeypatch.setattr(report, "chart", lambda panels, _: lines.extend(panels[0].lines))
    report.plot(swept)
    assert [label for _, _, label in lines[0].points] == ["2", "4", "8", "64"]


def test_sheets_of_a_sweep_name_what_was_drawn(sd2: Model) -> None:
    told = report.caption([FOX, replace(FOX, seed=6)], sd2)
    assert told == "\u201ca red fox\u201d, sd2 on cpu in float32, seeds 5 to 6"
    panel = Panel("title", "x", [Line("line", [(1.0, 0.5, "1")])])
    assert chart([panel], told).height > chart([panel]).height


def test_lines_of_a_chart_can_be_told_apart() -> None:
    points = [(1.0, 0.5, "1"), (2.0, 0.7, "2")]
    drawn = {
        chart([Panel("t", "x", [Line("line", points, colour, stroke)])]).tobytes()
        for colour in range(8)
        for stroke in range(4)
    }
    assert len(drawn) == 32


def test_names_of_points_do_not_cover_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    written = list[str]()
    monkeypatch.setattr(Pen, "text", lambda pen, at, words, *a, **k: written.append(words))
    chart([Panel("t", "x", [Line(f"line {n}", [(1.0, 0.5, "64")]) for n in range(9)])])
    assert 0 < written.count("64") < 9


def test_strip_calls_evaluations_so_where_a_step_has_several(
    sd2: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    bands = list[Band]()
    monkeypatch.setattr(strip, "contact_sheet", lambda given, side: bands.extend(given))
    for sampler in ("ddim", "heun"):
        film_strip(watch(sd2, replace(FOX, sampler=sampler), 3))
    film = watch(sd2, FOX, 2)
    near = [replace(film.frames[0], noise=noise) for noise in (0.494, 0.9, 0.49)]
    film_strip(replace(film, frames=near))
    forward = [tile.caption for tile in bands[6].tiles]
    assert forward == ["0 % noise", "49 % noise", "90 % noise"]
    predicted = [bands[number].tiles[-1].caption for number in (2, 5)]
    assert predicted == ["in step 5 of 5", "in evaluation 9 of 9"]


@pytest.mark.parametrize("sampler", ["heun", "dpm++ 2s a", "ddim"])
def test_film_shows_no_level_of_noise_twice(sd2: Model, sampler: str) -> None:
    noise = [frame.noise for frame in watch(sd2, replace(FOX, sampler=sampler), 24).frames]
    assert len({round(share, 9) for share in noise}) == len(noise) >= 5


def test_chart_of_one_point_and_of_many_is_drawn() -> None:
    for points in ([(1.0, 0.5, "1")], [(0.001, 1.0, "a"), (1000.0, 2.0, "b")]):
        image = chart([Panel("title", "x", [Line("line", points)])])
        colours = {colour for _, colour in image.getcolors(1 << 16) or ()}
        assert image.width >= 800 and (0x1F, 0x6F, 0xB4) in colours
