"""Drawing that begins from a picture: the steps are diffusers', what a mask protects stays."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionImg2ImgPipeline, StableDiffusionInpaintPipeline
from PIL import Image, ImageDraw

from sovgen.errors import BadRecipe
from sovgen.generate.beginning import Late
from sovgen.generate.canvas import Canvas, lay_canvas
from sovgen.generate.conditioning import condition
from sovgen.generate.encoding import encode_canvas
from sovgen.generate.fitting import fit
from sovgen.generate.generator import generate
from sovgen.generate.sampling import denoise, draw_noise, generators
from sovgen.generate.schedulers import build_scheduler
from sovgen.models.load import Model, load_model
from sovgen.picture import Picture, encode_png
from sovgen.recipe import Recipe
from sovgen.samplers import SAMPLERS
from tests import tiny
from tests.sovgen.scenes import SHADES, disc

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:diffusers"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:numpy"),
    pytest.mark.filterwarnings("ignore::FutureWarning:diffusers"),
]

Sources = Mapping[str, Image.Image]
FOX = Recipe("a fox", seed=5, steps=8, guidance=3.0, sampler="ddim", init="shades", strength=0.5)
HOLE = (16, 16, 40, 48)


def hole(size: tuple[int, int] = (64, 64)) -> Image.Image:
    mask = Image.new("L", size)
    ImageDraw.Draw(mask).rectangle((HOLE[0], HOLE[1], HOLE[2] - 1, HOLE[3] - 1), fill=255)
    return mask


SOURCES: Sources = {"shades": SHADES, "hole": hole(), "disc": disc()}


@pytest.fixture(scope="module")
def sd1(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("sd1")
    tiny.sd1().save_pretrained(folder)
    return load_model(folder, device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def mini() -> Model:
    return load_model(device="cpu", dtype="float32")


def draw(model: Model, recipe: Recipe, sources: Sources = SOURCES) -> Picture:
    [picture] = generate(model, [recipe], sources=sources)
    return picture


def latents(model: Model, recipe: Recipe, canvas: Canvas) -> torch.Tensor:
    texts = condition(model, [recipe.prompt], [recipe.negative], guided=True)
    chances = generators([recipe.seed])
    noise = draw_noise(model, *canvas.image.size, chances)
    filled = replace(recipe, width=canvas.image.width, height=canvas.image.height)
    return denoise(model, texts, noise, chances, filled, ground=encode_canvas(model, canvas))


def theirs(model: Model, cls: type, recipe: Recipe, **given: object) -> torch.Tensor:
    """The same by diffusers' pipeline, from the same noise and the latent of the same picture."""
    pipe = cls(**{**model.pipe.components, "scheduler": None})
    pipe.scheduler = build_scheduler(str(recipe.sampler), model.own_scheduler)
    pipe.set_progress_bar_config(disable=True)
    done = pipe(
        recipe.prompt,
        generator=generators([recipe.seed]),
        num_inference_steps=recipe.steps,
        guidance_scale=recipe.guidance,
        output_type="latent",
        return_dict=False,
        **given,
    )
    return done[0]  # type: ignore[no-any-return]


# Those that need scipy, which sovgen does not bring, are diffusers' own in just the same way;
# diffusers' pipeline hands no scheduler the unguided answer, and PLMS only part of its steps.
APART = ("lms", "ddim cfg++", "pndm")
UNAIDED = {n: s.settings for n, s in SAMPLERS.items() if n not in APART}
KARRAS = [f"{name} karras" for name, settings in UNAIDED.items() if "use_karras_sigmas" in settings]


@pytest.mark.parametrize("sampler", [*UNAIDED, *KARRAS])
def test_steps_are_those_of_diffusers_image_to_image(sd1: Model, sampler: str) -> None:
    recipe = replace(FOX, sampler=sampler)
    canvas = Canvas(SHADES, None)
    begin = encode_canvas(sd1, canvas).latents
    expected = theirs(
        sd1, StableDiffusionImg2ImgPipeline, recipe, image=begin, strength=recipe.strength
    )
    assert torch.allclose(latents(sd1, recipe, canvas), expected, atol=1e-4)


@pytest.mark.parametrize("steps", [3, 6, 20])
@pytest.mark.parametrize("strength", [0.4, 0.5, 0.9, 1.0])
def test_plms_leaves_no_noise_wherever_it_begins(sd1: Model, steps: int, strength: float) -> None:
    """As a denoiser that knows the picture shows: what is left is DDIM's, but for its last step."""
    rest = [left_of(sd1, sampler, steps, strength) for sampler in ("pndm", "ddim")]
    assert abs(rest[0] - rest[1]) < 0.005


def left_of(model: Model, sampler: str, steps: int, strength: float) -> float:
    """The spread of what is left of the noise over a picture that is all 0."""
    late = Late(build_scheduler(sampler, model.own_scheduler), strength)
    late.set_timesteps(steps)
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    x = late.add_noise(torch.zeros_like(noise), noise, late.timesteps[:1])
    for when in late.timesteps:
        spread = (1 - late.alphas_cumprod[when]) ** 0.5
        x = late.step(x / spread, when, x, return_dict=False)[0]
    return float(x.std())


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_mask_holds_the_source_as_diffusers_inpainting_does(sd1: Model, strength: float) -> None:
    recipe = replace(FOX, strength=strength)
    canvas = Canvas(SHADES, hole())
    begin = encode_canvas(sd1, canvas).latents
    expected = theirs(
        sd1,
        StableDiffusionInpaintPipeline,
        recipe,
        image=begin,
        masked_image_latents=begin,
        mask_image=hole(),
        strength=strength,
        height=64,
        width=64,
    )
    assert torch.allclose(latents(sd1, recipe, canvas), expected, atol=1e-4)


def test_bundled_model_draws_what_plain_diffusers_draws(mini: Model) -> None:
    source = SHADES.resize((128, 128))
    recipe = replace(FOX, steps=4)
    pipe = StableDiffusionImg2ImgPipeline(**mini.pipe.components)
    pipe.scheduler = build_scheduler("ddim", mini.own_scheduler)
    [plain] = pipe(
        "a fox",
        image=source,
        strength=0.5,
        num_inference_steps=4,
        guidance_scale=3.0,
        generator=generators([5]),
    ).images
    drawn = draw(mini, recipe, {"shades": source}).image
    assert np.abs(values(plain) - values(drawn)).max() <= 1


def values(image: Image.Image) -> np.ndarray:  # type: ignore[type-arg]
    return np.asarray(image.convert("RGB")).astype(np.int16)


def test_less_strength_stays_nearer_to_the_source(mini: Model) -> None:
    source = SHADES.resize((128, 128))
    far = [
        np.abs(
            values(draw(mini, replace(FOX, strength=s), {"shades": source}).image) - values(source)
        )
        for s in (0.2, 0.6, 1.0)
    ]
    assert far[0].mean() < far[1].mean() < far[2].mean()


def test_what_the_mask_leaves_black_comes_out_to_the_last_bit(sd1: Model) -> None:
    picture = draw(sd1, replace(FOX, mask="hole", strength=None))
    before, after = values(SHADES), values(picture.image)
    inside = np.asarray(hole()) > 0
    assert (before[~inside] == after[~inside]).all()
    assert np.abs(before[inside] - after[inside]).mean() > 5
    assert picture.recipe.strength == 1


def test_transparency_of_a_mask_is_what_is_drawn_anew(sd1: Model) -> None:
    clear = SHADES.convert("RGBA")
    clear.putalpha(hole().point(lambda v: 255 - v))
    [one] = generate(sd1, [replace(FOX, mask="hole")], sources=SOURCES)
    [two] = generate(sd1, [replace(FOX, mask="clear")], sources={**SOURCES, "clear": clear})
    assert (values(one.image) == values(two.image)).all()


def test_margins_grow_the_picture_and_leave_it_as_it_was(sd1: Model) -> None:
    told: list[str] = []
    recipe = replace(FOX, strength=None, margins="0,8,13,0")
    [picture] = generate(sd1, [recipe], sources=SOURCES, on_notice=told.append)
    assert picture.image.size == (80, 72)
    assert (picture.recipe.margins, picture.recipe.strength) == ("0,8,16,0", 0.8)
    assert "0,8,16,0" in told[0]
    assert (values(picture.image)[8:, :64] == values(SHADES)).all()
    assert encode_png(draw(sd1, picture.recipe)) == encode_png(picture)


def test_source_off_the_grid_is_fitted_and_that_is_told(sd1: Model) -> None:
    sources = {"shades": SHADES.resize((75, 61)), "hole": hole((32, 32))}
    told: list[str] = []
    [picture] = generate(sd1, [FOX], sources=sources, on_notice=told.append)
    assert (picture.recipe.width, picture.recipe.height) == picture.image.size == (72, 64)
    assert told == ["The picture is 75x61: scaled and cropped to 72x64."]
    told.clear()
    masked = replace(FOX, mask="hole")
    [picture] = generate(sd1, [masked], sources=sources, on_notice=told.append)
    assert picture.image.size == (72, 56)
    assert told[0] == "The picture is 75x61: cropped to 72x56."
    assert told[1] == "The mask is 32x32: scaled to the picture's 75x61."
    corner = values(sources["shades"])[2, 1]
    assert (values(picture.image)[0, 0] == corner).all()


@pytest.mark.parametrize("mask", [None, "hole"])
@pytest.mark.parametrize(
    ("size", "told"),
    [
        ((72, 64), ["The picture is 64x64: scaled and cropped to 72x64."]),
        ((56, 48), ["The picture is 64x64: cropped to 56x48."]),
        ((64, 64), []),
    ],
)
def test_what_is_told_of_a_size_is_what_is_done(
    sd1: Model, mask: str | None, size: tuple[int, int], told: list[str]
) -> None:
    recipe = replace(FOX, mask=mask, width=size[0], height=size[1])
    fitted, said = fit(sd1, recipe, SOURCES)
    assert said == told
    canvas = lay_canvas(fitted, SOURCES)
    assert canvas and canvas.image.size == size
    left, top = (64 - size[0]) // 2, (64 - size[1]) // 2
    cropped = SHADES.crop((left, top, left + size[0], top + size[1]))
    assert (canvas.image == cropped) is not any("scaled" in text for text in told)


def test_source_far_from_the_models_size_is_brought_to_it(sd1: Model) -> None:
    [small] = generate(sd1, [FOX], sources={"shades": SHADES.resize((1280, 640))})
    assert small.image.size == (88, 48)


def test_batch_gives_what_each_gives_alone_and_the_recipe_gives_the_same_bytes(sd1: Model) -> None:
    recipes = [replace(FOX, mask="hole", seed=s, sampler="euler a") for s in range(3)]
    together = list(generate(sd1, recipes, batch=3, sources=SOURCES))
    for picture in together:
        alone = draw(sd1, picture.recipe)
        assert np.abs(values(alone.image) - values(picture.image)).max() <= 1
    assert encode_png(draw(sd1, recipes[0])) == encode_png(draw(sd1, recipes[0]))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"strength": 0.1}, "none of 8 steps"),
        ({"strength": 0.33, "steps": 3}, "none of 3 steps"),
        ({"mask": "black"}, "no pixel of it is white"),
        ({"mask": "hole", "margins": "8,0,0,0"}, "do not go together"),
        ({"init": "gone"}, "not at hand"),
    ],
)
def test_what_cannot_be_begun_is_refused_in_a_line(
    sd1: Model, change: dict[str, object], says: str
) -> None:
    sources = {**SOURCES, "black": Image.new("L", (64, 64))}
    with pytest.raises(BadRecipe, match=says) as caught:
        draw(sd1, replace(FOX, **change), sources)  # type: ignore[arg-type]
    assert caught.value.hint


@pytest.mark.parametrize("steps", [1, 3, 7, 49, 999])
def test_strength_that_is_hinted_leaves_a_step(sd1: Model, steps: int) -> None:
    with pytest.raises(BadRecipe, match="leaves none") as caught:
        list(generate(sd1, [replace(FOX, strength=0.001, steps=steps)], sources=SOURCES))
    [hinted] = re.findall(r"from ([0-9.]+),", caught.value.hint)
    assert 1 <= steps * float(hinted) < 2
    assert draw(sd1, replace(FOX, strength=float(hinted), steps=steps)).image.size == (64, 64)


def test_sdxl_begins_from_a_picture_too(tmp_path: Path) -> None:
    tiny.sdxl().save_pretrained(tmp_path)
    model = load_model(tmp_path, device="cpu", dtype="float32")
    picture = draw(model, replace(FOX, sampler="euler", mask="hole"))
    outside = np.asarray(hole()) == 0
    assert (values(picture.image)[outside] == values(SHADES)[outside]).all()


@pytest.fixture(scope="module")
def inpainting(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("inpainting")
    tiny.inpainting().save_pretrained(folder)
    return load_model(folder, device="cpu", dtype="float32")


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_model_made_for_inpainting_is_shown_the_hole(inpainting: Model, strength: float) -> None:
    recipe = replace(FOX, strength=strength)
    ground = encode_canvas(inpainting, Canvas(SHADES, hole()))
    expected = theirs(
        inpainting,
        StableDiffusionInpaintPipeline,
        recipe,
        image=ground.latents,
        masked_image_latents=ground.around,
        mask_image=hole(),
        strength=strength,
        height=64,
        width=64,
    )
    ours = latents(inpainting, recipe, Canvas(SHADES, hole()))
    assert torch.allclose(ours, expected, atol=1e-4)
    picture = draw(inpainting, replace(recipe, mask="hole"))
    outside = np.asarray(hole()) == 0
    assert (values(picture.image)[outside] == values(SHADES)[outside]).all()
    assert draw(inpainting, replace(recipe, margins="8,0,0,0")).image.size == (72, 64)


def test_model_made_for_inpainting_draws_nothing_else(inpainting: Model) -> None:
    for recipe in (replace(FOX, init=None, strength=None), FOX):
        with pytest.raises(BadRecipe, match="made for inpainting") as caught:
            draw(inpainting, recipe)
        assert "--mask" in caught.value.hint
