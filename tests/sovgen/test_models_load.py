"""Folders and single files of every family load, draw, and never ask the network."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from index.bundled import bundled_model
from sovgen.errors import BadRecipe, DeviceMissing, ModelDamaged, ModelUnsupported
from sovgen.generate.generator import generate
from sovgen.models import compute
from sovgen.models.compute import part_dtypes
from sovgen.models.description import read_layout
from sovgen.models.device import choose_place
from sovgen.models.load import Model, load_model
from sovgen.models.prediction import predicts_velocity
from sovgen.models.store import find_model
from sovgen.models.towers import text_towers
from sovgen.recipe import Recipe
from tests import tiny
from tests.single_file import save_single

# diffusers' schedulers meet numpy 2.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:diffusers")

FOX = Recipe("a red fox", negative="a dog", seed=3, steps=2, width=64, height=64)


def draw(model: Model, recipe: Recipe = FOX) -> NDArray[np.int16]:
    [picture] = generate(model, [recipe])
    return np.asarray(picture.image).astype(np.int16)


@pytest.mark.parametrize("name", tiny.PIPES)
def test_single_file_draws_what_its_folder_draws(tiny_models: Path, name: str) -> None:
    folder = load_model(tiny_models / name, device="cpu", dtype="float32")
    file = load_model(tiny_models / f"{name}.safetensors", device="cpu", dtype="float32")
    assert folder.family == file.family
    assert folder.own_scheduler.config.prediction_type == file.own_scheduler.config.prediction_type
    assert np.abs(draw(folder) - draw(file)).max() <= 1


@pytest.mark.parametrize("name", tiny.PIPES)
def test_family_draws_what_plain_diffusers_draws(tiny_models: Path, name: str) -> None:
    pipe = tiny.PIPES[name]()
    pipe.set_progress_bar_config(disable=True)
    model = load_model(tiny_models / name, device="cpu", dtype="float32")
    plain = pipe(
        FOX.prompt,
        negative_prompt=FOX.negative,
        num_inference_steps=2,
        guidance_scale=model.defaults.guidance,
        width=64,
        height=64,
        generator=torch.Generator().manual_seed(3),
    ).images[0]
    assert np.abs(np.asarray(plain).astype(np.int16) - draw(model)).max() <= 1


@pytest.mark.parametrize("name", ["sd1", "sdxl.safetensors"])
def test_bfloat16_leaves_towers_and_latents_in_float32(tiny_models: Path, name: str) -> None:
    model = load_model(tiny_models / name, device="cpu", dtype="bfloat16")
    assert {model.pipe.unet.dtype, model.pipe.vae.dtype} == {torch.bfloat16}
    assert {tower.dtype for tower in text_towers(model.pipe)} == {torch.float32}
    seen = []
    list(generate(model, [FOX], on_step=lambda i, n, latents: seen.append(latents.dtype)))
    assert set(seen) == {torch.float32}
    exact = load_model(tiny_models / name, device="cpu", dtype="float32")
    # Random weights give noise, in which a rounding shows more than in any real picture.
    assert np.abs(draw(model) - draw(exact)).mean() < 4


def test_large_text_towers_take_the_models_dtype(tiny_models: Path) -> None:
    layout = read_layout(find_model(tiny_models / "sdxl"))
    numbers = {**layout.numbers, "text_encoder_2": 123_000_000}
    dtypes = part_dtypes("cpu", "bfloat16", replace(layout, numbers=numbers))
    assert dtypes == {"default": torch.bfloat16, "text_encoder": torch.float32}


def test_large_text_tower_in_bfloat16_draws_the_same_picture(
    tiny_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = draw(load_model(tiny_models / "sd1", device="cpu", dtype="bfloat16"))
    monkeypatch.setattr(compute, "_LARGE", 0)
    model = load_model(tiny_models / "sd1", device="cpu", dtype="bfloat16")
    assert {tower.dtype for tower in text_towers(model.pipe)} == {torch.bfloat16}
    assert np.abs(draw(model) - small).mean() < 2


def test_half_precision_variant_is_found(tiny_models: Path, tmp_path: Path) -> None:
    tiny.sd1().to(torch.float16).save_pretrained(tmp_path / "half", variant="fp16")
    model = load_model(tmp_path / "half", device="cpu", dtype="float32")
    full = load_model(tiny_models / "sd1", device="cpu", dtype="float32")
    assert np.abs(draw(model) - draw(full)).mean() < 1


def test_single_file_says_what_it_predicts(tmp_path: Path) -> None:
    path = tmp_path / "sd2.safetensors"
    said = {"modelspec.prediction_type": "epsilon", "modelspec.resolution": "512x512"}
    save_single(tiny.sd2(), path, said)
    model = load_model(path)
    assert model.own_scheduler.config.prediction_type == "epsilon"
    assert model.native_size == (512, 512)


def test_single_file_that_does_not_say_what_it_predicts_is_asked(tiny_models: Path) -> None:
    model = load_model(tiny_models / "sd2.safetensors")
    assert model.own_scheduler.config.prediction_type == "v_prediction"
    assert model.native_size == (768, 768)


def test_denoiser_that_learnt_velocity_or_noise_is_told_by_its_answer() -> None:
    mini = StableDiffusionPipeline.from_pretrained(bundled_model())
    no_words = mini.encode_prompt("", "cpu", 1, False)[0]
    assert predicts_velocity(mini.unet, no_words)
    learnt = _learnt_noise()
    assert not predicts_velocity(learnt, torch.zeros(1, 2, learnt.config.cross_attention_dim))


def _learnt_noise() -> UNet2DConditionModel:
    """A tiny denoiser that has learnt to give noise back at the last timestep."""
    unet = tiny.sd2().unet.train()
    optimiser = torch.optim.Adam(unet.parameters(), 3e-3)
    texts = torch.zeros(4, 2, unet.config.cross_attention_dim)
    for _ in range(40):
        noise = torch.randn(4, 4, 8, 8)
        error = (unet(noise, 999, encoder_hidden_states=texts).sample - noise).square().mean()
        optimiser.zero_grad()
        error.backward()
        optimiser.step()
    return unet.eval()


@pytest.mark.parametrize("name", ["sd1", "sd1.safetensors"])
def test_weights_that_lack_a_tensor_are_refused(
    tiny_models: Path, tmp_path: Path, name: str
) -> None:
    copy = tmp_path / name
    if (tiny_models / name).is_dir():
        shutil.copytree(tiny_models / name, copy)
        file, tensor = copy / "unet" / "diffusion_pytorch_model.safetensors", "mid_block.resnets.0"
    else:
        shutil.copy(tiny_models / name, copy)
        file, tensor = copy, "model.diffusion_model.middle_block.0"
    kept = {n: t for n, t in load_file(file).items() if not n.startswith(tensor)}
    save_file(kept, file, {"format": "pt"})
    with pytest.raises(ModelDamaged, match=name):
        load_model(copy)


def test_changed_byte_of_the_bundled_model_is_refused_at_load(tmp_path: Path) -> None:
    copy = Path(shutil.copytree(bundled_model(), tmp_path / "mini"))
    config = copy / "unet" / "config.json"
    config.write_text(config.read_text().replace('"norm_eps": 1e-05', '"norm_eps": 1e-04'))
    with pytest.raises(ModelDamaged, match=r"unet/config\.json"):
        load_model(copy)


def test_towers_are_all_of_the_pipeline(tiny_models: Path) -> None:
    model = load_model(tiny_models / "sdxl")
    assert [tower.config.hidden_size for tower in text_towers(model.pipe)] == [64, 128]


def test_safety_checker_tells_and_never_blackens(tmp_path: Path) -> None:
    pipe = tiny.sd1()
    checker, processor = tiny.safety_parts()
    # Every picture is as near as it can be to what is to be flagged.
    checker.concept_embeds_weights.fill_(-1.0)
    pipe.register_modules(safety_checker=checker, feature_extractor=processor)
    pipe.save_pretrained(tmp_path / "checked")
    [plain] = generate(load_model(tmp_path / "checked"), [FOX])
    [judged] = generate(load_model(tmp_path / "checked", safety=True), [FOX])
    assert (plain.safety, judged.safety) == (None, "flagged")
    assert np.array_equal(np.asarray(plain.image), np.asarray(judged.image))


def test_safety_is_refused_where_there_is_no_checker(tiny_models: Path) -> None:
    with pytest.raises(ModelUnsupported, match="no safety checker"):
        load_model(tiny_models / "sd1", safety=True)


def test_unknown_device_and_dtype_are_refused() -> None:
    with pytest.raises(DeviceMissing, match="abacus"):
        choose_place("abacus")
    with pytest.raises(BadRecipe, match="float12"):
        choose_place("cpu", "float12")
    with pytest.raises(BadRecipe, match="float16"):
        choose_place("cpu", "float16")


def test_dtype_is_chosen_with_a_reason() -> None:
    place = choose_place("cpu")
    assert place.dtype in ("bfloat16", "float32")
    assert "CPU" in place.reason


def test_loading_a_single_file_asks_nobody(tiny_models: Path) -> None:
    code = f"""
import sys
calls = []
def hook(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        calls.append((event, args[1:]))
sys.addaudithook(hook)
from sovgen.models.load import load_model
load_model({str(tiny_models / "sdxl.safetensors")!r})
load_model({str(tiny_models / "sd1")!r})
print(calls)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
    assert run.stderr == ""
