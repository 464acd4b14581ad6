"""Additions described from their headers: kind, family, sizes, the words that call them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from sovgen.models.additions.describing import describe_addition
from tests import additions, tiny, upscalers


def save(path: Path, shapes: dict[str, tuple[int, ...]], **metadata: str) -> Path:
    tensors = {name: np.zeros(shape, np.float16) for name, shape in shapes.items()}
    save_file(tensors, path, metadata)
    return path


def kohya(cross: int, rank: int) -> dict[str, tuple[int, ...]]:
    block = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0"
    return {
        f"{block}_attn1_to_q.lora_down.weight": (rank, 320),
        f"{block}_attn1_to_q.lora_up.weight": (320, rank),
        f"{block}_attn2_to_k.lora_down.weight": (rank, cross),
        f"{block}_attn2_to_k.lora_up.weight": (320, rank),
        f"{block}_attn2_to_k.alpha": (),
    }


@pytest.mark.parametrize(
    ("cross", "family"), [(768, "Diffusion 1.x"), (1024, "Diffusion 2.x"), (2048, "Diffusion XL")]
)
def test_lora_says_family_rank_layers_and_what_calls_it(
    tmp_path: Path, cross: int, family: str
) -> None:
    tags = json.dumps({"10_ink": {"fox": 3, "ink style": 9}, "2_more": {"fox": 1}})
    path = save(
        tmp_path / "ink.safetensors",
        kohya(cross, 8),
        **{
            "modelspec.trigger_phrase": "inkst",
            "modelspec.license": "CC-BY-4.0",
            "ss_tag_frequency": tags,
        },
    )
    told = describe_addition(path)
    assert told is not None
    assert (told["kind"], told["rank"], told["layers"]) == ("lora", 8, 2)
    assert str(told["family"]).endswith(family)
    assert (told["trigger"], told["tags"]) == ("inkst", ["ink style", "fox"])
    assert told["license"] == "CC-BY-4.0"
    assert told["parameters"] == 8 * (320 + 320 + cross + 320) + 1
    assert (told["precision"], told["bytes"]) == ("float16", path.stat().st_size)


@pytest.mark.parametrize(
    ("module", "family"),
    [
        ("transformer.single_transformer_blocks.0.attn.to_q", "FLUX.1"),
        ("lora_unet_double_blocks_0_img_attn_qkv", "FLUX.1"),
        ("transformer.transformer_blocks.0.attn.add_q_proj", "Stable Diffusion 3.x"),
        ("transformer.transformer_blocks.0.attn1.to_q", None),
    ],
)
def test_lora_of_a_transformer_is_told_by_its_layers(
    tmp_path: Path, module: str, family: str | None
) -> None:
    halves = {f"{module}.lora_A.weight": (4, 64), f"{module}.lora_B.weight": (64, 4)}
    told = describe_addition(save(tmp_path / "some.safetensors", halves))
    assert told is not None
    assert (told["family"], told["rank"], told["layers"]) == (family, 4, 1)
    assert (told["trigger"], told["tags"]) == (None, [])


def test_textual_inversion_says_its_word(tmp_path: Path) -> None:
    one = describe_addition(save(tmp_path / "moebius.safetensors", {"emb_params": (3, 768)}))
    both = {"clip_l": (2, 768), "clip_g": (2, 1280)}
    two = describe_addition(save(tmp_path / "pair.safetensors", both))
    assert one is not None and two is not None
    assert (one["kind"], one["trigger"], one["words"]) == ("embedding", "moebius", 3)
    assert (one["family"], two["family"]) == ("Stable Diffusion 1.x", "Stable Diffusion XL")


def test_vae_controlnet_and_adapter_are_told_from_real_ones(tmp_path: Path) -> None:
    pipe = tiny.sd1()
    additions.other_vae().save_pretrained(tmp_path / "vae")
    additions.save_original_vae(additions.other_vae(), tmp_path / "vae.safetensors")
    additions.control_of(pipe).save_pretrained(tmp_path / "control")
    additions.save_adapter(pipe, tmp_path / "adapter")
    told = {n: describe_addition(tmp_path / n) for n in ("vae", "vae.safetensors", "control")}
    adapter = describe_addition(tmp_path / "adapter")
    assert adapter is not None
    assert (adapter["kind"], adapter["type"]) == ("adapter", "plain")
    vaes = [told["vae"], told["vae.safetensors"]]
    assert [(v["kind"], v["latent_channels"]) for v in vaes if v] == [("vae", 4)] * 2
    assert told["control"] is not None and told["control"]["kind"] == "controlnet"
    assert told["control"]["parameters"] == additions.control_of(pipe).num_parameters()


def test_upscaler_says_how_many_times(tmp_path: Path) -> None:
    upscalers.x4().save_pretrained(tmp_path / "x4")
    told = describe_addition(tmp_path / "x4")
    assert told is not None
    assert (told["kind"], told["factor"]) == ("upscaler", 4)


def test_models_and_strangers_are_none(tmp_path: Path) -> None:
    assert describe_addition("sovgen-mini") is None
    assert describe_addition(tmp_path / "nowhere") is None
    assert describe_addition(save(tmp_path / "x.safetensors", {"a.weight": (2, 2)})) is None
