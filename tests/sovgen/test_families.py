"""Transformer families, from the real classes at tiny size: loaded, drawn, batched, indexed."""

from __future__ import annotations

import json
import shutil
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg
from numpy.typing import NDArray
from PIL import Image

from index import Library, Query
from index.encoder import load_encoder
from sovgen.errors import BadRecipe, ModelDamaged, ModelUnsupported
from sovgen.generate.conditioning import condition
from sovgen.generate.decoding import decode
from sovgen.generate.encoding import encode
from sovgen.generate.generator import generate
from sovgen.generate.packing import pack, unpack
from sovgen.generate.sampling import draw_noise, generators
from sovgen.generate.schedulers import build_scheduler
from sovgen.models.description import describe_model
from sovgen.models.folder import read_folder
from sovgen.models.load import Model, load_model
from sovgen.models.towers import text_towers
from sovgen.picture import encode_png
from sovgen.recipe import Recipe
from sovgen.samplers import FLOW_SAMPLERS
from sovgen.studio import Studio
from tests import tiny
from tests.sovgen.scenes import SHADES
from tests.tiny_clip import open_clip_folder

# diffusers' schedulers meet numpy 2.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

NAMES = list(tiny.TRANSFORMERS)
FLOWING = ["sd3", "flux_dev", "sana"]
FOX = Recipe("a red fox", seed=3, steps=2, width=64, height=64)
THREE = [replace(FOX, prompt=p, seed=s) for s, p in enumerate(("a cat", "", "a red house"))]
OWN = ("restart", "dpm fast", "ddim cfg++", "ipndm", "ipndm v")
# What the families' pipelines are called with besides what all have in common.
PLAIN = {
    "flux_schnell": {"max_sequence_length": 256},
    "pixart": {"use_resolution_binning": False, "clean_caption": False},
    "sana": {"use_resolution_binning": False},
}


@pytest.fixture(scope="module")
def models(tiny_transformers: Path) -> dict[str, Model]:
    return {name: load_model(tiny_transformers / name, "cpu", "float32") for name in NAMES}


def pixels(model: Model, recipe: Recipe = FOX) -> NDArray[np.int16]:
    [picture] = generate(model, [recipe])
    return np.asarray(picture.image).astype(np.int16)


@pytest.mark.parametrize("name", ["sd3", "pixart", "sana"])
def test_guidance_is_rescaled_as_diffusers_does_it(models: dict[str, Model], name: str) -> None:
    guidance, share = 4.0, 0.7
    pipe = tiny.TRANSFORMERS[name]()
    pipe.set_progress_bar_config(disable=True)
    plain = pipe.transformer.forward

    def rescaled(*args: Any, **given: Any) -> tuple[torch.Tensor]:  # noqa: ANN401
        """Both halves as what guidance and rescaling make of them, so that guiding adds nothing."""
        answer = plain(*args, **given)[0]
        channels = pipe.vae.config.latent_channels
        negative, prompted = answer[:, :channels].chunk(2)
        guided = negative + guidance * (prompted - negative)
        half = rescale_noise_cfg(guided, prompted, guidance_rescale=share)
        return (torch.cat([half, half]).repeat(1, answer.shape[1] // channels, 1, 1),)

    pipe.transformer.forward = rescaled
    expected = pipe(
        FOX.prompt,
        negative_prompt="a dog",
        num_inference_steps=2,
        guidance_scale=guidance,
        width=64,
        height=64,
        generator=torch.Generator().manual_seed(3),
        **PLAIN.get(name, {}),
    ).images[0]
    recipe = replace(FOX, negative="a dog", guidance=guidance)
    ours = pixels(models[name], replace(recipe, guidance_rescale=share))
    assert np.abs(ours - np.asarray(expected, np.int16)).max() <= 1
    assert np.abs(ours - pixels(models[name], recipe)).max() > 1


def test_distilled_guidance_has_nothing_to_rescale(models: dict[str, Model]) -> None:
    with pytest.raises(BadRecipe, match="no guidance rescale"):
        pixels(models["flux_dev"], replace(FOX, guidance_rescale=0.7))


def rewrite(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize("name", NAMES)
def test_family_draws_what_plain_diffusers_draws(models: dict[str, Model], name: str) -> None:
    model = models[name]
    pipe = tiny.TRANSFORMERS[name]()
    pipe.set_progress_bar_config(disable=True)
    guided = {"negative_prompt": "a dog"} if model.guidance == "free" else {}
    plain = pipe(
        FOX.prompt,
        num_inference_steps=2,
        guidance_scale=model.defaults.guidance,
        width=64,
        height=64,
        generator=torch.Generator().manual_seed(3),
        **guided,
        **PLAIN.get(name, {}),
    ).images[0]
    ours = pixels(model, replace(FOX, negative="a dog" if guided else ""))
    assert np.abs(np.asarray(plain).astype(np.int16) - ours).max() <= 1


@pytest.mark.parametrize("name", NAMES)
def test_batch_gives_what_each_alone_gives_and_the_same_bytes_again(
    models: dict[str, Model], name: str
) -> None:
    together = list(generate(models[name], THREE, batch=3))
    alone = list(generate(models[name], THREE, exact=True))
    for one, other in zip(together, alone, strict=True):
        apart = np.asarray(one.image).astype(np.int16) - np.asarray(other.image)
        assert np.abs(apart).max() <= 1
    again = list(generate(models[name], THREE, batch=3))
    assert [encode_png(p) for p in together] == [encode_png(p) for p in again]
    assert len({p.id for p in together}) == 3


@pytest.mark.parametrize("name", NAMES)
def test_prompt_matters_and_other_sizes_are_drawn(models: dict[str, Model], name: str) -> None:
    wide = replace(FOX, width=96, height=64)
    drawn = pixels(models[name], wide)
    assert drawn.shape == (64, 96, 3)
    assert np.abs(drawn - pixels(models[name], replace(wide, prompt="a house"))).max() > 0


@pytest.mark.parametrize("name", NAMES)
def test_bfloat16_leaves_latents_and_clip_towers_in_float32(
    tiny_transformers: Path, models: dict[str, Model], name: str
) -> None:
    model = load_model(tiny_transformers / name, "cpu", "bfloat16")
    assert {model.denoiser.dtype, model.pipe.vae.dtype} == {torch.bfloat16}
    for tower in text_towers(model.pipe):
        is_clip = type(tower).__name__.startswith("CLIP")
        assert tower.dtype == (torch.float32 if is_clip else torch.bfloat16)
    seen: list[tuple[int, int, tuple[int, ...], torch.dtype]] = []
    list(
        generate(model, [FOX], on_step=lambda i, n, x: seen.append((i, n, tuple(x.shape), x.dtype)))
    )
    channels = model.pipe.vae.config.latent_channels
    assert seen == [(i, 2, (1, channels, 8, 8), torch.float32) for i in (1, 2)]
    assert np.abs(pixels(model) - pixels(models[name])).mean() < 6


def test_pictures_of_every_family_are_found(
    tiny_models: Path, tiny_transformers: Path, tmp_path: Path
) -> None:
    encoder = load_encoder(open_clip_folder(tmp_path / "clip"))
    library = Library.create(tmp_path / "library", encoder)
    folders = {name: tiny_models / name for name in tiny.PIPES}
    folders |= {name: tiny_transformers / name for name in NAMES}
    for name, folder in folders.items():
        studio = Studio(library, folder, device="cpu", dtype="float32")
        [made] = studio.make(FOX)
        assert made.entry is not None
        assert (made.entry.model, made.entry.prompt) == (name, "a red fox")
        assert studio.remake(made.entry.id).id == made.entry.id
        assert made.entry.encoder_match == (
            "no CLIP" if name in ("pixart", "sana") else "different"
        )
    assert {entry.model for entry in library.list(Query(k=None))} == folders.keys()


@pytest.mark.parametrize("sampler", FLOW_SAMPLERS)
@pytest.mark.parametrize("name", FLOWING)
def test_every_sampler_for_flows_comes_to_the_same_picture(
    models: dict[str, Model], name: str, sampler: str
) -> None:
    limit = pixels(models[name], replace(FOX, steps=40, guidance=1.0))
    drawn = pixels(models[name], replace(FOX, steps=20, guidance=1.0, sampler=sampler))
    other = pixels(models[name], replace(FOX, steps=20, guidance=1.0, seed=4))
    assert np.abs(drawn - limit).mean() < 0.25 * np.abs(other - limit).mean()


@pytest.mark.parametrize("sampler", OWN)
def test_samplers_of_our_own_draw_with_a_pipeline_that_knows_no_callback(
    models: dict[str, Model], sampler: str
) -> None:
    recipe = replace(FOX, steps=20, guidance=6.0, sampler=sampler, negative="a dog")
    drawn = pixels(models["pixart"], recipe)
    assert np.abs(drawn - pixels(models["pixart"], recipe)).max() == 0
    assert np.abs(drawn - pixels(models["pixart"], replace(recipe, sampler="ddim"))).max() > 1


@pytest.mark.parametrize("sampler", [*("ddim", "euler a", "dpm++ 2m sde karras", "lcm"), *OWN])
def test_sampler_that_does_not_fit_a_flow_is_refused(
    models: dict[str, Model], sampler: str
) -> None:
    with pytest.raises(BadRecipe, match="flow matching") as caught:
        generate(models["sd3"], [replace(FOX, sampler=sampler)])
    assert "unipc" in caught.value.hint


def test_schedule_that_does_not_fit_a_flow_is_refused(models: dict[str, Model]) -> None:
    with pytest.raises(BadRecipe, match="dpm\\+\\+ 2m cannot follow the schedule karras"):
        generate(models["sd3"], [replace(FOX, sampler="DPM++ 2M Karras")])


def test_class_of_a_flow_is_the_sampler_that_it_is(models: dict[str, Model]) -> None:
    named = replace(FOX, sampler="FlowMatchEulerDiscreteScheduler")
    [one], [other] = (generate(models["sd3"], [recipe]) for recipe in (FOX, named))
    assert one.recipe == other.recipe
    assert other.recipe.sampler == "euler"
    assert encode_png(one) == encode_png(other)


def test_noise_predicting_transformer_takes_the_usual_samplers(models: dict[str, Model]) -> None:
    drawn = [pixels(models["pixart"], replace(FOX, sampler=s)) for s in ("ddim", "euler a")]
    assert np.abs(drawn[0] - drawn[1]).max() > 0
    steps: list[tuple[int, int]] = []
    recipe = replace(FOX, sampler="heun", steps=3)
    list(generate(models["pixart"], [recipe], on_step=lambda i, n, _: steps.append((i, n))))
    assert steps[-1] == (5, 5)


@pytest.mark.parametrize("name", NAMES)
def test_every_family_begins_from_a_picture_and_keeps_what_a_mask_protects(
    models: dict[str, Model], name: str
) -> None:
    mask = Image.new("L", (64, 64))
    mask.paste(255, (0, 0, 32, 64))
    sources = {"shades": SHADES, "mask": mask}
    recipe = replace(FOX, steps=4, init="shades", strength=0.5)
    [seen] = decode(models[name], encode(models[name], SHADES))
    recipes = [replace(recipe, steps=40, strength=strength) for strength in (0.03, 1.0)]
    near, far = (
        np.abs(np.asarray(picture.image).astype(np.int16) - np.asarray(seen)).mean()
        for picture in generate(models[name], recipes, sources=sources)
    )
    assert near < 0.95 * far
    steps: list[tuple[int, int]] = []
    [masked] = generate(
        models[name],
        [replace(recipe, mask="mask")],
        sources=sources,
        on_step=lambda i, n, _: steps.append((i, n)),
    )
    assert steps == [(1, 2), (2, 2)]
    changed = np.asarray(masked.image) != np.asarray(SHADES)
    assert not changed[:, 40:].any()
    assert changed[:, :24].any()


@pytest.mark.parametrize("sampler", ["euler", "dpm++ 2m"])
def test_flux_takes_the_last_steps_from_the_noise_that_they_begin_with(
    models: dict[str, Model], sampler: str
) -> None:
    model, late = models["flux_schnell"], 6
    recipe = replace(FOX, steps=8, sampler=sampler, init="shades", strength=0.25)
    [ours] = generate(model, [recipe], sources={"shades": SHADES})
    texts = condition(model, [FOX.prompt], [""], guided=False)
    scheduler = build_scheduler(sampler, model.own_scheduler)
    spacing = {"sigmas": [1 - i / 8 for i in range(8)]} if sampler == "euler" else {}
    scheduler.set_timesteps(**spacing or {"num_inference_steps": 8})
    scheduler.set_begin_index(late)
    noise, sigma = draw_noise(model, 64, 64, generators([FOX.seed])), scheduler.sigmas[late]
    x = pack(model, sigma * noise + (1 - sigma) * encode(model, SHADES))
    with torch.inference_mode():
        for step in scheduler.timesteps[late:]:
            answer = model.denoiser(
                hidden_states=x,
                timestep=step[None] / 1000,
                pooled_projections=texts.pooled,
                encoder_hidden_states=texts.states,
                txt_ids=torch.zeros(texts.states.shape[1], 3),
                img_ids=model.pipe._prepare_latent_image_ids(1, 4, 4, "cpu", torch.float32),
                return_dict=False,
            )[0]
            x = scheduler.step(answer, step, x, return_dict=False)[0]
    [expected] = decode(model, unpack(model, x, replace(recipe, width=64, height=64)))
    assert np.abs(np.asarray(expected).astype(int) - np.asarray(ours.image)).max() <= 1


def test_distilled_guidance_is_obeyed_without_a_negative(models: dict[str, Model]) -> None:
    told: list[str] = []
    recipes = [replace(FOX, guidance=g, negative="a dog") for g in (1.0, 8.0)]
    low, high = generate(models["flux_dev"], recipes, on_notice=told.append)
    assert low.id != high.id
    [notice] = told
    assert "reads no negative" in notice


def test_weights_that_need_no_guidance_say_so(models: dict[str, Model]) -> None:
    told: list[str] = []
    [asked] = generate(models["flux_schnell"], [replace(FOX, guidance=7.0)], on_notice=told.append)
    [plain] = generate(models["flux_schnell"], [FOX])
    assert encode_png(asked) == encode_png(plain)
    [notice] = told
    assert "changes nothing" in notice
    assert asked.recipe.guidance == 1.0


def test_words_are_dropped_only_when_no_tower_reads_them(models: dict[str, Model]) -> None:
    long = " ".join(["cat"] * 100)
    [picture] = generate(models["flux_dev"], [replace(FOX, prompt=long)])
    assert picture.notices == ()
    [picture] = generate(models["flux_dev"], [replace(FOX, prompt=" ".join(["cat"] * 600))])
    assert "longer than" in picture.notices[0]


def test_sd3_without_its_largest_tower(tiny_transformers: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_transformers / "sd3", tmp_path / "small"))
    rewrite(folder / "model_index.json", text_encoder_3=[None, None], tokenizer_3=[None, None])
    model = load_model(folder, "cpu", "float32")
    assert model.tokens == {"text_encoder": 77, "text_encoder_2": 77}
    assert pixels(model).shape == (64, 64, 3)


@pytest.mark.parametrize(
    ("name", "family", "towers", "sampler"),
    [
        ("sd3", "Stable Diffusion 3", ["CLIP", "CLIP", "T5"], "euler"),
        ("flux_dev", "FLUX.1 dev", ["CLIP", "T5"], "euler"),
        ("flux_schnell", "FLUX.1 schnell", ["CLIP", "T5"], "euler"),
        ("pixart", "PixArt-Sigma", ["T5"], "dpm++ 2m"),
        ("sana", "Sana", ["Gemma"], "dpm++ 2m"),
    ],
)
def test_family_is_told_by_its_configuration(
    tiny_transformers: Path, tmp_path: Path, name: str, family: str, towers: list[str], sampler: str
) -> None:
    folder = tmp_path / "sdxl-turbo"
    shutil.copytree(tiny_transformers / name, folder)
    told = describe_model(folder)
    assert (told.family, told.sampler) == (family, sampler)
    assert [tower.split()[0] for tower in told.text_towers] == towers


def test_size_that_the_denoiser_has_no_positions_for_is_refused(models: dict[str, Model]) -> None:
    with pytest.raises(BadRecipe, match="1024 pixels"):
        generate(models["sd3"], [replace(FOX, width=1040)])


def test_first_pixart_folders_are_read_with_their_class_and_their_pieces(
    tiny_transformers: Path, models: dict[str, Model], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_transformers / "pixart", tmp_path / "pixart"))
    rewrite(folder / "model_index.json", transformer=["diffusers", "Transformer2DModel"])
    config = {"_class_name": "Transformer2DModel", "norm_type": "ada_norm_single"}
    rewrite(folder / "transformer" / "config.json", **config)
    own = json.loads((folder / "tokenizer" / "tokenizer.json").read_text())
    (folder / "tokenizer" / "tokenizer.json").unlink()
    (folder / "tokenizer" / "spiece.model").write_bytes(_sentencepiece(own["model"]["vocab"]))
    model = load_model(folder, "cpu", "float32")
    assert (
        model.pipe.tokenizer("a red fox")["input_ids"]
        == (models["pixart"].pipe.tokenizer("a red fox")["input_ids"])
    )
    assert np.array_equal(pixels(model), pixels(models["pixart"]))
    (folder / "tokenizer" / "spiece.model").write_bytes(b"\x0a\xff")
    with pytest.raises(ModelDamaged, match=r"spiece\.model"):
        load_model(folder, "cpu", "float32")


def _sentencepiece(vocabulary: list[tuple[str, float]]) -> bytes:
    """The pieces as sentencepiece's protobuf writes them; each is shorter than 128 bytes."""

    def piece(text: str, score: float) -> bytes:
        name = text.encode()
        inner = bytes([0x0A, len(name)]) + name + b"\x15" + struct.pack("<f", score) + b"\x18\x01"
        return bytes([0x0A, len(inner)]) + inner

    return b"".join(piece(*entry) for entry in vocabulary) + b"\x12\x02\x18\x01"


@pytest.mark.parametrize(
    ("scheduler", "unet", "defaults"),
    [
        ({"timestep_spacing": "trailing"}, {}, (4, 1.0)),
        ({"timestep_spacing": "trailing", "rescale_betas_zero_snr": True}, {}, (30, 5.0)),
        ({"_class_name": "LCMScheduler"}, {}, (4, 1.0)),
        ({}, {"time_cond_proj_dim": 256}, (4, 8.5)),
        ({}, {}, (30, 5.0)),
    ],
)
def test_distilled_sdxl_is_drawn_in_few_steps(
    tmp_path: Path,
    xl: Path,
    scheduler: dict[str, object],
    unet: dict[str, object],
    defaults: tuple[int, float],
) -> None:
    folder = Path(shutil.copytree(xl, tmp_path / "xl"))
    rewrite(folder / "scheduler" / "scheduler_config.json", **scheduler)
    rewrite(folder / "unet" / "config.json", **unet)
    layout = read_folder(folder)
    assert layout.kind.defaults(layout.configs) == defaults


def test_refiner_is_told_from_a_base_saved_for_pictures(tmp_path: Path, xl: Path) -> None:
    folder = Path(shutil.copytree(xl, tmp_path / "xl"))
    rewrite(folder / "model_index.json", _class_name="StableDiffusionXLImg2ImgPipeline")
    assert describe_model(folder).family == "Stable Diffusion XL"
    rewrite(folder / "model_index.json", text_encoder=[None, None], tokenizer=[None, None])
    assert describe_model(folder).family == "Stable Diffusion XL refiner"


@pytest.fixture(scope="module")
def xl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("xl") / "xl"
    tiny.sdxl().save_pretrained(folder)
    return folder


def test_sd35_is_told_by_its_normalised_queries(tiny_transformers: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_transformers / "sd3", tmp_path / "copy"))
    rewrite(folder / "transformer" / "config.json", qk_norm="rms_norm")
    assert describe_model(folder).family == "Stable Diffusion 3.5"


def test_editing_transformer_and_missing_tower_are_refused(
    tiny_transformers: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_transformers / "flux_dev", tmp_path / "fill"))
    rewrite(folder / "transformer" / "config.json", in_channels=384)
    with pytest.raises(ModelUnsupported, match="made for editing"):
        describe_model(folder)
    shutil.rmtree(folder / "text_encoder_2")
    with pytest.raises(ModelDamaged, match="text_encoder_2"):
        describe_model(folder)
