"""SD 3 and FLUX.1 as single files: told by their tensors, drawn as their folders are."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import FluxPipeline, FluxTransformer2DModel
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from index.encoder import load_encoder
from sovgen.errors import ModelUnsupported
from sovgen.generate.generator import generate
from sovgen.models.description import describe_model, read_layout
from sovgen.models.load import Model, load_model
from sovgen.models.matching import tower_verdicts
from sovgen.models.store import find_model
from sovgen.recipe import Recipe
from tests import tiny
from tests.transformer_file import UNET, original_flux, save_flux, save_sd3

FOX = Recipe("a red fox", negative="a dog", seed=3, steps=2, width=64, height=64)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`sd3.safetensors`, `small.safetensors` without a T5, and a T5's vocabulary beside them."""
    root = tmp_path_factory.mktemp("files")
    pipe = tiny.sd3()
    pipe.tokenizer_3.save_pretrained(root / "t5" / "tokenizer_3")
    save_sd3(pipe, root / "sd3.safetensors")
    save_sd3(pipe, root / "small.safetensors", t5=False)
    return root


def test_sd3_file_draws_what_its_folder_draws(files: Path, tiny_transformers: Path) -> None:
    folder = load_model(tiny_transformers / "sd3", "cpu", "float32")
    file = load_model(files / "sd3.safetensors", "cpu", "float32")
    assert (file.family, file.tokens) == (folder.family, folder.tokens)
    assert file.own_scheduler.config.shift == folder.own_scheduler.config.shift
    [one], [other] = generate(folder, [FOX]), generate(file, [FOX])
    apart = np.asarray(one.image).astype(np.int16) - np.asarray(other.image)
    assert np.abs(apart).max() <= 1


def test_sd3_file_does_without_a_t5_that_it_lacks_or_that_has_no_vocabulary(
    files: Path, tmp_path: Path
) -> None:
    alone = Path(shutil.copy(files / "sd3.safetensors", tmp_path))
    for path in (files / "small.safetensors", alone):
        assert len(describe_model(path).text_towers) == 2
        [picture] = generate(load_model(path, "cpu", "float32"), [FOX])
        assert picture.image.size == (64, 64)


def test_denoiser_alone_that_nobody_lends_the_rest_is_refused(files: Path, tmp_path: Path) -> None:
    tensors = load_file(files / "small.safetensors")
    save_file({n: t for n, t in tensors.items() if n.startswith(UNET)}, tmp_path / "x.safetensors")
    with pytest.raises(ModelUnsupported, match="without its text towers") as caught:
        describe_model(tmp_path / "x.safetensors")
    assert "diffusers folder of Stable Diffusion 3 beside the file" in caught.value.hint


@pytest.mark.parametrize("part", ["down_blocks.0.weight", "transformer_blocks.0.norm1.weight"])
def test_part_of_a_folder_is_told_as_such(part: str, tmp_path: Path) -> None:
    save_file({part: torch.zeros(2)}, tmp_path / "part.safetensors")
    with pytest.raises(ModelUnsupported, match="one part of a diffusers folder; give the folder"):
        describe_model(tmp_path / "part.safetensors")


@pytest.mark.parametrize("prefix", [UNET, ""])
@pytest.mark.parametrize("vae", [True, False])
def test_sd3_denoiser_alone_draws_with_what_a_folder_lends(
    files: Path, tiny_transformers: Path, tmp_path: Path, prefix: str, vae: bool
) -> None:
    pipe = tiny.sd3()
    with torch.no_grad():
        pipe.transformer.proj_out.weight *= 1.5
        pipe.vae.decoder.conv_out.weight *= 1.0 + vae
    shutil.copytree(files / "t5", tmp_path / "t5")
    save_sd3(pipe, tmp_path / "whole.safetensors")
    whole = load_file(tmp_path / "whole.safetensors")
    kept = {n.replace(UNET, prefix): t for n, t in whole.items() if n.startswith(UNET)}
    if vae:
        kept |= {n: t for n, t in whole.items() if n.startswith("first_stage_model.")}
    save_file(kept, tmp_path / "alone.safetensors")
    for number, name in enumerate(("flux_dev", "sd3")):
        (tmp_path / f"{number}").symlink_to(tiny_transformers / name)
    names = ("whole.safetensors", "alone.safetensors", "1")
    models = [load_model(tmp_path / name, "cpu", "float32") for name in names]
    expected, ours, lender = (np.asarray(draw(model), np.int16) for model in models)
    assert np.abs(ours - expected).max() <= 1
    assert np.abs(ours - lender).max() > 1
    assert models[1].name == "alone"
    assert len({model.hash for model in models}) == 3
    assert len(describe_model(tmp_path / "alone.safetensors").text_towers) == 3


def draw(model: Model) -> Image.Image:
    [picture] = generate(model, [FOX])
    return picture.image


@pytest.mark.parametrize(
    ("tensor", "says"),
    [
        ("blocks.0.cross_attn.kv_linear.weight", "PixArt.*T5"),
        ("blocks.0.mlp.inverted_conv.conv.weight", "Sana.*Gemma"),
    ],
)
def test_file_whose_towers_are_elsewhere_is_refused(tmp_path: Path, tensor: str, says: str) -> None:
    save_file({tensor: torch.zeros(4, 4)}, tmp_path / "x.safetensors")
    with pytest.raises(ModelUnsupported, match=says) as caught:
        describe_model(tmp_path / "x.safetensors")
    assert "diffusers folders" in caught.value.hint


@pytest.fixture(scope="module")
def flux(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """FLUX.1 of one double and one single block, as wide as the real one: schnell, 1 GB."""
    root = tmp_path_factory.mktemp("flux")
    _save_wide(tiny.flux_schnell(), root / "flux.safetensors")
    yield root / "flux.safetensors"
    shutil.rmtree(root)


@pytest.fixture(scope="module")
def eight(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The same of dev, its weights in float8 but for the autoencoder's, as ComfyUI has them."""
    root = tmp_path_factory.mktemp("eight")
    pipe = tiny.flux_dev()
    for tower in (pipe.text_encoder, pipe.text_encoder_2):
        tower.to(torch.float8_e4m3fn)
    _save_wide(pipe, root / "flux.safetensors", torch.float8_e4m3fn)
    yield root / "flux.safetensors"
    shutil.rmtree(root)


def _save_wide(pipe: FluxPipeline, path: Path, dtype: torch.dtype = torch.bfloat16) -> None:
    pipe.tokenizer_2.save_pretrained(path.parent / "t5" / "tokenizer_2")
    pipe.transformer = _wide(pipe.transformer, dtype)
    save_flux(pipe, path)


def _wide(tiny_one: FluxTransformer2DModel, dtype: torch.dtype) -> FluxTransformer2DModel:
    wide = {"attention_head_dim": 128, "num_attention_heads": 24, "axes_dims_rope": (16, 56, 56)}
    with torch.device("meta"):
        model = FluxTransformer2DModel.from_config(tiny_one.config, **wide)
    chance = torch.Generator().manual_seed(7)
    drawn = (0.02 * torch.randn(1_000_003, generator=chance)).to(dtype)
    state = {
        name: drawn.repeat(-(-tensor.numel() // len(drawn)))[: tensor.numel()].view(tensor.shape)
        for name, tensor in model.state_dict().items()
    }
    model.load_state_dict(state, assign=True)
    return model


def test_flux_file_of_real_width_draws_what_its_denoiser_computes(flux: Path) -> None:
    told = describe_model(flux)
    assert (told.family, told.precision) == ("FLUX.1 schnell", "bfloat16")
    assert told.native_size == (1024, 1024)
    model = load_model(flux, "cpu", "bfloat16")
    denoiser = model.denoiser
    assert denoiser.config.num_attention_heads == 24
    # What lies side by side in the file, or with its halves the other way round.
    moved = ("transformer_blocks.0.attn.", "single_transformer_blocks.0.", "norm_out.")
    again = original_flux({n: t for n, t in denoiser.state_dict().items() if n.startswith(moved)})
    with safe_open(flux, framework="pt") as file:
        assert all(torch.equal(t, file.get_tensor(UNET + name)) for name, t in again.items())
    del again
    recipe = Recipe("a red fox", seed=3, steps=1, width=32, height=32)
    [picture] = generate(model, [recipe])
    assert picture.recipe.steps == 1


def test_flux_denoiser_alone_is_read_beside_what_a_folder_lends(
    flux: Path, tiny_transformers: Path, tmp_path: Path
) -> None:
    kept = {n.removeprefix(UNET): t for n, t in load_file(flux).items() if n.startswith(UNET)}
    save_file(kept, tmp_path / "alone.safetensors")
    del kept
    (tmp_path / "base").symlink_to(tiny_transformers / "flux_dev")
    told = describe_model(tmp_path / "alone.safetensors")
    assert (told.family, told.precision) == ("FLUX.1 schnell", "bfloat16")
    paths = (flux, tmp_path / "alone.safetensors", tmp_path / "base")
    whole, alone, lender = (load_model(path, "cpu", "bfloat16") for path in paths)
    for part, other in {"transformer": whole, "vae": lender, "text_encoder_2": lender}.items():
        known = getattr(other.pipe, part).state_dict()
        read = getattr(alone.pipe, part).state_dict()
        assert all(torch.equal(tensor, known[name]) for name, tensor in read.items())
    assert dict(alone.own_scheduler.config) == dict(whole.own_scheduler.config)
    assert (alone.tokens, alone.guidance) == (whole.tokens, "none")
    (tmp_path / "alone.safetensors").unlink()


def test_flux_dev_in_float8_is_computed_in_the_models_dtype(eight: Path) -> None:
    told = describe_model(eight)
    assert (told.family, told.precision) == ("FLUX.1 dev", "float8")
    model = load_model(eight, "cpu", "bfloat16")
    assert {p.dtype for p in model.denoiser.parameters()} == {torch.bfloat16}
    own = {
        "img_in.weight": model.denoiser.x_embedder.weight,
        "guidance_in.in_layer.weight": (
            model.denoiser.time_text_embed.guidance_embedder.linear_1.weight
        ),
    }
    with safe_open(eight, framework="pt") as file:
        for name, weight in own.items():
            assert torch.equal(weight, file.get_tensor(UNET + name).to(torch.bfloat16))
    recipe = Recipe("a red fox", seed=3, steps=1, width=32, height=32)
    low, high = generate(model, [recipe, replace(recipe, guidance=9.0)])
    assert (low.recipe.guidance, high.recipe.guidance) == (3.5, 9.0)
    assert low.id != high.id


@pytest.mark.parametrize(
    ("tensor", "says"),
    [
        ("double_blocks.0.img_attn.proj.qweight", "4-bit"),
        ("double_blocks.0.img_attn.proj.weight.quant_state.bitsandbytes__nf4", "bitsandbytes"),
    ],
)
def test_packed_weights_are_refused_with_what_to_get_instead(
    tmp_path: Path, tensor: str, says: str
) -> None:
    save_file({UNET + tensor: torch.zeros(4)}, tmp_path / "x.safetensors")
    with pytest.raises(ModelUnsupported, match=says) as caught:
        describe_model(tmp_path / "x.safetensors")
    assert "bfloat16" in caught.value.hint


def test_float8_file_of_sd1_is_drawn_and_its_tower_compared(
    tiny_models: Path, tmp_path: Path
) -> None:
    stored = load_file(tiny_models / "sd1.safetensors")
    small = {n: t.to(torch.float8_e4m3fn) if t.ndim > 1 else t for n, t in stored.items()}
    save_file(small, tmp_path / "small.safetensors")
    models = [
        load_model(p, "cpu", "float32")
        for p in (tiny_models / "sd1.safetensors", tmp_path / "small.safetensors")
    ]
    [one], [other] = (generate(model, [FOX]) for model in models)
    apart = np.asarray(one.image).astype(np.int16) - np.asarray(other.image)
    assert 0 < np.abs(apart).mean() < 20
    layout = read_layout(find_model(tmp_path / "small.safetensors"))
    assert tower_verdicts(layout, load_encoder()) == {"text_encoder": "different"}
