"""Recipes become pictures: the bundled model, its real weights, a few steps."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import EulerAncestralDiscreteScheduler, StableDiffusionPipeline
from numpy.typing import NDArray
from PIL import Image

from index.bundled import bundled_model
from index.making import SETTINGS
from sovgen.errors import BadRecipe, BrokenPicture, OutOfMemory
from sovgen.generate.filling import fill
from sovgen.generate.generator import generate
from sovgen.generate.schedulers import build_scheduler
from sovgen.models.load import Model, load_model
from sovgen.picture import encode_png
from sovgen.recipe import Recipe
from sovgen.samplers import SAMPLERS

pytestmark = [
    # diffusers' schedulers meet numpy 2.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:diffusers"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:numpy"),
]

APPLE = Recipe("a red apple", seed=11, steps=3, guidance=3.0)
CAR = Recipe("a blue car on a yellow background", seed=3, steps=12, guidance=1.0)
ADD_NOISE = [
    *("ddpm", "euler a", "dpm2 a", "dpm2 a karras", "dpm++ 2s a", "dpm++ 2s a karras"),
    *("dpm++ 2m sde", "dpm++ 2m sde karras", "dpm++ 2m sde heun", "dpm++ 2m sde heun karras"),
    *("dpm++ 3m sde", "dpm++ 3m sde karras", "dpm++ sde", "dpm++ sde karras", "lcm", "sa"),
    "sa karras",
]
KARRAS = [f"{name} karras" for name, s in SAMPLERS.items() if "use_karras_sigmas" in s.settings]
FOUR = [replace(APPLE, prompt=p, seed=s) for s, p in enumerate(("a cat", "a house", "", "pizza"))]


@pytest.fixture(scope="module")
def mini() -> Model:
    return load_model(device="cpu", dtype="float32")


def pixels(image: Image.Image) -> NDArray[np.int16]:
    return np.asarray(image).astype(np.int16)


def share_within_one(one: Image.Image, other: Image.Image) -> float:
    return float((np.abs(pixels(one) - pixels(other)).max(axis=-1) <= 1).mean())


def draw(model: Model, recipe: Recipe) -> Image.Image:
    [picture] = generate(model, [recipe])
    return picture.image


def test_plain_diffusers_makes_the_same_picture(mini: Model) -> None:
    pipe = StableDiffusionPipeline.from_pretrained(bundled_model(), use_safetensors=True)
    pipe.set_progress_bar_config(disable=True)
    plain = pipe(
        APPLE.prompt,
        num_inference_steps=3,
        guidance_scale=3.0,
        generator=torch.Generator().manual_seed(11),
    ).images[0]
    assert np.abs(pixels(plain) - pixels(draw(mini, APPLE))).max() <= 1


def test_recipe_of_a_picture_leaves_nothing_open_and_remakes_it(mini: Model) -> None:
    [picture] = generate(mini, [APPLE])
    settled = (getattr(picture.recipe, name) for name in vars(APPLE) if name not in SETTINGS)
    assert all(value is not None for value in settled)
    assert picture.recipe.model == "sovgen-mini"
    [again] = generate(mini, [picture.recipe])
    assert encode_png(again) == encode_png(picture)


def test_batch_gives_the_pictures_that_each_alone_gives(mini: Model) -> None:
    together = list(generate(mini, FOUR, batch=4))
    alone = list(generate(mini, FOUR, exact=True))
    assert [p.recipe.seed for p in together] == [0, 1, 2, 3]
    for one, other in zip(together, alone, strict=True):
        assert share_within_one(one.image, other.image) >= 0.999


def test_batch_does_not_show_in_the_dtype_that_the_machine_chooses() -> None:
    model = load_model()
    together, alone = (list(generate(model, FOUR[:2], batch=n)) for n in (2, 1))
    for one, other in zip(together, alone, strict=True):
        assert share_within_one(one.image, other.image) >= 0.999


def test_same_batch_gives_the_same_bytes(mini: Model) -> None:
    first, second = (list(generate(mini, FOUR, batch=2)) for _ in range(2))
    assert [encode_png(p) for p in first] == [encode_png(p) for p in second]
    assert len({p.id for p in first}) == 4


def test_samplers_noise_is_each_pictures_own(mini: Model) -> None:
    ancestral = [replace(recipe, sampler="euler a") for recipe in FOUR]
    together = list(generate(mini, ancestral, batch=4))
    alone = list(generate(mini, ancestral, exact=True))
    for one, other in zip(together, alone, strict=True):
        assert share_within_one(one.image, other.image) >= 0.999
    plain = draw(mini, FOUR[1])
    assert share_within_one(plain, together[1].image) < 0.9


def test_plain_diffusers_with_an_ancestral_sampler_makes_the_same_picture(mini: Model) -> None:
    pipe = StableDiffusionPipeline.from_pretrained(bundled_model(), use_safetensors=True)
    pipe.scheduler = EulerAncestralDiscreteScheduler.from_config(pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    plain = pipe(
        APPLE.prompt,
        num_inference_steps=3,
        guidance_scale=3.0,
        generator=torch.Generator().manual_seed(11),
    ).images[0]
    ours = draw(mini, replace(APPLE, sampler="Euler a"))
    assert np.abs(pixels(plain) - pixels(ours)).max() <= 1


@pytest.fixture(scope="module")
def limit(mini: Model) -> Image.Image:
    """What every sampler that adds no noise comes near to, the nearer the more steps it takes."""
    return draw(mini, replace(CAR, steps=40, sampler="ddim"))


@pytest.mark.parametrize("name", [*SAMPLERS, *KARRAS])
def test_every_sampler_draws(mini: Model, limit: Image.Image, name: str) -> None:
    if name.startswith("lms") and importlib.util.find_spec("scipy") is None:
        with pytest.raises(BadRecipe, match="scipy"):
            generate(mini, [replace(CAR, sampler=name)])
        return
    image = draw(mini, replace(CAR, sampler=name))
    distance = np.abs(pixels(image) - pixels(limit)).mean()
    # Another seed's picture is 60 away. What noise it is that they add tells `test_samplers`.
    assert distance > 30 if name in ADD_NOISE else distance < 20


def test_samplers_keep_what_the_weights_were_trained_for(mini: Model) -> None:
    for name, sampler in SAMPLERS.items():
        if name.startswith("lms") and importlib.util.find_spec("scipy") is None:
            continue
        scheduler = build_scheduler(name, mini.own_scheduler)
        assert type(scheduler).__name__ == sampler.scheduler
        assert scheduler.config.prediction_type == "v_prediction"
        # Zero terminal SNR: nothing but noise is left at the last timestep.
        assert float(scheduler.alphas_cumprod[-1]) <= 2e-4


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("FlowMatchEulerDiscreteScheduler", "did not learn flow matching"),
        ("EDMEulerScheduler", "only where it is a model's own"),
        ("BogusScheduler", "There is no sampler 'BogusScheduler'"),
    ],
)
def test_class_that_is_not_the_models_own_is_refused(mini: Model, name: str, says: str) -> None:
    with pytest.raises(BadRecipe, match=says) as caught:
        generate(mini, [replace(APPLE, sampler=name)])
    assert "Known: ddim" in caught.value.hint


@pytest.mark.parametrize(
    ("sampler", "schedule"),
    [
        ("DPM++ 2M Karras", None),
        ("dpm++ 2m", "Karras"),
        ("DPMSolverMultistepScheduler", "karras"),
        ("dpmsolver++ karras", "automatic"),
    ],
)
def test_one_sampler_is_kept_in_one_way_however_it_is_spelt(
    mini: Model, sampler: str, schedule: str | None
) -> None:
    filled = fill(mini, replace(APPLE, sampler=sampler, schedule=schedule))
    assert filled == fill(mini, replace(APPLE, sampler="dpm++ 2m", schedule="karras"))
    assert (filled.sampler, filled.schedule) == ("dpm++ 2m", "karras")
    assert fill(mini, filled) == filled


def test_guidance_of_one_is_drawn_without_the_negative(mini: Model) -> None:
    one = draw(mini, replace(APPLE, guidance=1.0))
    assert one == draw(mini, replace(APPLE, guidance=0.0, negative="blue"))
    assert one != draw(mini, APPLE)


def test_negative_steers_away(mini: Model) -> None:
    assert draw(mini, APPLE) != draw(mini, replace(APPLE, negative="red"))


def test_libraries_do_not_quote_a_prompt_that_is_too_long(
    mini: Model, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    draw(mini, replace(APPLE, prompt="xylophone " * 40))
    out, err = capfd.readouterr()
    assert "xylophone" not in out + err + caplog.text


def test_short_prompt_has_no_notice(mini: Model) -> None:
    [picture] = generate(mini, [APPLE])
    assert picture.notices == ()


def test_size_off_the_grid_is_refused_with_the_nearest(mini: Model) -> None:
    with pytest.raises(BadRecipe, match="multiples of 8") as caught:
        generate(mini, [APPLE, replace(APPLE, width=130, height=128)])
    assert "128x128" in caught.value.hint
    assert "128 or 136" in caught.value.hint


def test_other_sizes_are_drawn(mini: Model) -> None:
    assert draw(mini, replace(APPLE, width=96, height=64)).size == (96, 64)


def test_asking_for_another_dtype_than_loaded_is_told(mini: Model) -> None:
    told: list[str] = []
    [picture] = generate(mini, [replace(APPLE, dtype="bfloat16")], on_notice=told.append)
    assert "bfloat16" in told[0]
    assert picture.recipe.dtype == "float32"


def test_steps_are_told_from_the_first_to_the_last(mini: Model) -> None:
    seen: list[tuple[int, int, tuple[int, ...]]] = []
    list(
        generate(
            mini, FOUR[:2], batch=2, on_step=lambda i, n, x: seen.append((i, n, tuple(x.shape)))
        )
    )
    assert seen == [(i, 3, (2, 8, 16, 16)) for i in (1, 2, 3)]


def test_interrupt_leaves_what_was_drawn_and_the_model_sound(mini: Model) -> None:
    steps = 0

    def stop_in_the_third(*_: object) -> None:
        nonlocal steps
        steps += 1
        if steps > 2 * 3:
            raise KeyboardInterrupt

    drawn = []
    with pytest.raises(KeyboardInterrupt):
        for picture in generate(mini, FOUR, batch=1, on_step=stop_in_the_third):
            drawn.append(picture)
    assert [picture.recipe.seed for picture in drawn] == [0, 1]
    assert drawn[1].image == draw(mini, FOUR[1])


def test_neighbours_of_one_shape_are_drawn_together_and_order_is_kept(mini: Model) -> None:
    recipes = [*FOUR[:2], replace(FOUR[2], steps=2), FOUR[3]]
    batches = []
    drawn = list(
        generate(mini, recipes, on_step=lambda i, n, x: batches.append(len(x)) if i == 1 else None)
    )
    assert batches == [2, 1, 1]
    assert [picture.recipe.seed for picture in drawn] == [0, 1, 2, 3]


def test_nan_is_never_a_picture(tiny_models: Path) -> None:
    model = load_model(tiny_models / "sd1", dtype="float32")
    model.pipe.unet.conv_out.bias.fill_(float("nan"))
    with pytest.raises(BrokenPicture, match="Seed 11.*no numbers"):
        list(generate(model, [replace(APPLE, width=64, height=64)]))


def test_black_is_never_a_picture_and_the_others_of_its_batch_stand(tiny_models: Path) -> None:
    model = load_model(tiny_models / "sd1", dtype="float32")
    decode, seen = model.pipe.vae.decode, []

    def second_is_black(latent: torch.Tensor, **options: object) -> tuple[torch.Tensor]:
        seen.append(latent)
        [image] = decode(latent, **options)
        return (torch.full_like(image, -1.0) if len(seen) == 2 else image,)

    model.pipe.vae.decode = second_is_black
    drawn = []
    with pytest.raises(BrokenPicture, match="Seed 1.*black"):
        for picture in generate(model, [replace(r, width=64, height=64) for r in FOUR], batch=4):
            drawn.append(picture.recipe.seed)
    assert drawn == [0, 2, 3]


def test_batch_that_does_not_fit_is_drawn_one_by_one_and_said(mini: Model) -> None:
    def too_much_together(i: int, n: int, latents: torch.Tensor) -> None:
        if len(latents) > 1:
            torch.empty(2**60, dtype=torch.uint8)

    told: list[str] = []
    drawn = list(generate(mini, FOUR, batch=4, on_step=too_much_together, on_notice=told.append))
    assert [picture.recipe.seed for picture in drawn] == [0, 1, 2, 3]
    assert "one by one" in told[0]


def test_one_picture_that_does_not_fit_is_told(mini: Model) -> None:
    with pytest.raises(OutOfMemory) as caught:
        list(generate(mini, [APPLE], on_step=lambda *_: torch.empty(2**60, dtype=torch.uint8)))
    assert "--size" in caught.value.hint
