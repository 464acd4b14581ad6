"""Scaled float8: a file's weights are what they are once they are multiplied out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from sovgen.errors import ModelUnsupported
from sovgen.generate.generator import generate
from sovgen.models.description import describe_model
from sovgen.models.load import load_model
from sovgen.recipe import Recipe
from tests import tiny
from tests.transformer_file import UNET, save_sd3

FOX = Recipe("a red fox", negative="a dog", seed=3, steps=2, width=64, height=64)
LARGEST = torch.finfo(torch.float8_e4m3fn).max
Tensors = dict[str, torch.Tensor]


def scaled(tensors: Tensors, spelling: str, *, rows: bool) -> tuple[Tensors, Tensors]:
    """The file as ComfyUI scales it, and the same multiplied out."""
    small: Tensors = {}
    plain: Tensors = {}
    for name, tensor in tensors.items():
        plain[name] = small[name] = tensor
        if tensor.ndim != 2 or not name.endswith(".weight"):
            continue
        largest = tensor.abs().amax(1) if rows else tensor.abs().amax()
        scale = (largest / LARGEST).clamp(min=1e-12)
        times = scale[:, None] if rows else scale
        small[name] = (tensor / times).to(torch.float8_e4m3fn)
        plain[name] = small[name].float() * times
        small[name.removesuffix("weight") + spelling] = scale
        small[name.removesuffix("weight") + "scale_input"] = torch.ones(())
    return small, plain


@pytest.mark.parametrize(("spelling", "rows"), [("scale_weight", False), ("weight_scale", True)])
@pytest.mark.parametrize("family", ["sd1", "sd3"])
def test_a_scaled_file_draws_what_its_weights_draw(
    tiny_models: Path, tmp_path: Path, family: str, spelling: str, rows: bool
) -> None:
    path = tiny_models / "sd1.safetensors"
    if family == "sd3":
        path = tmp_path / "sd3.safetensors"
        pipe = tiny.sd3()
        pipe.tokenizer_3.save_pretrained(tmp_path / "t5" / "tokenizer_3")
        save_sd3(pipe, path)
    small, plain = scaled(load_file(path), spelling, rows=rows)
    small["scaled_fp8"] = torch.empty(0).to(torch.float8_e4m3fn)
    save_file(small, tmp_path / "scaled.safetensors")
    save_file(plain, tmp_path / "plain.safetensors")
    assert describe_model(tmp_path / "scaled.safetensors").precision == "float8"
    models = [
        load_model(tmp_path / f"{n}.safetensors", "cpu", "float32") for n in ("scaled", "plain")
    ]
    assert_equal(*(model.denoiser for model in models))
    for part in ("vae", "text_encoder"):
        assert_equal(*(getattr(model.pipe, part) for model in models))
    drawn = [
        np.asarray(picture.image).astype(np.int16) for m in models for picture in generate(m, [FOX])
    ]
    # where tensors lie in memory decides which kernels take them
    assert np.abs(drawn[0] - drawn[1]).max() <= 1


def assert_equal(one: torch.nn.Module, other: torch.nn.Module) -> None:
    read, known = one.state_dict(), other.state_dict()
    assert read.keys() == known.keys()
    assert all(torch.equal(tensor, known[name]) for name, tensor in read.items())


def test_a_scaled_denoiser_alone_is_multiplied_out(tiny_transformers: Path, tmp_path: Path) -> None:
    save_sd3(tiny.sd3(), tmp_path / "whole.safetensors")
    whole = load_file(tmp_path / "whole.safetensors")
    alone = {n.removeprefix(UNET): t for n, t in whole.items() if n.startswith(UNET)}
    small, plain = scaled(alone, "scale_weight", rows=False)
    save_file(small, tmp_path / "scaled.safetensors")
    save_file(plain, tmp_path / "plain.safetensors")
    (tmp_path / "base").symlink_to(tiny_transformers / "sd3")
    models = [
        load_model(tmp_path / f"{n}.safetensors", "cpu", "float32") for n in ("scaled", "plain")
    ]
    assert_equal(*(model.denoiser for model in models))


@pytest.mark.parametrize(
    ("weight", "scale"),
    [
        (torch.zeros(4, 4, dtype=torch.int8), torch.ones(())),  # other numbers
        (torch.zeros(4, 4).to(torch.float8_e4m3fn), torch.ones(2, 2)),  # of blocks
        (None, torch.ones(())),  # of nothing
    ],
)
def test_other_scales_are_refused(
    tmp_path: Path, weight: torch.Tensor | None, scale: torch.Tensor
) -> None:
    name = f"{UNET}double_blocks.0.img_attn.proj"
    tensors = {f"{name}.scale_weight": scale}
    if weight is not None:
        tensors[f"{name}.weight"] = weight
    save_file(tensors, tmp_path / "x.safetensors")
    with pytest.raises(ModelUnsupported, match="scales that are not of float8") as caught:
        describe_model(tmp_path / "x.safetensors")
    assert "bfloat16" in caught.value.hint
