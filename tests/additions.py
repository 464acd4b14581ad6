"""Tiny additions to the tiny models, of the real classes, as the programs of the world write them.

Each has weights large enough that a picture shows it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from diffusers import AutoencoderKL, ControlNetModel
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from tests import tiny
from tests.single_file import original_names, original_vae, renamed

RANK, ALPHA = 4, 2.0
PARTS = ("unet", "text_encoder", "text_encoder_2")
# What a kohya file calls the parts of a model with one text tower, and of one with two.
_ONE = {"unet": "lora_unet", "text_encoder": "lora_te"}
_TWO = {"unet": "lora_unet", "text_encoder": "lora_te1", "text_encoder_2": "lora_te2"}
_CHANGED = (".to_q", ".to_k", ".to_v", ".to_out.0", ".conv1", ".q_proj", ".v_proj", ".fc1")
Halves = dict[tuple[str, str], tuple[Tensor, Tensor]]


def lora_of(pipe: tiny.Pipe, *, seed: int = 0, parts: tuple[str, ...] = PARTS) -> Halves:
    """Down and up by part and module: attention, a convolution, and layers of the text towers."""
    chance = torch.Generator().manual_seed(seed)
    return {
        (part, name): _halves(layer, chance)
        for part in parts
        if getattr(pipe, part, None) is not None
        for name, layer in getattr(pipe, part).named_modules()
        if name.endswith(_CHANGED)
    }


def _halves(layer: nn.Module, chance: torch.Generator) -> tuple[Tensor, Tensor]:
    weight = layer.weight
    assert isinstance(weight, Tensor)
    down = torch.randn((RANK, *weight.shape[1:]), generator=chance) / weight[0].numel() ** 0.5
    up = torch.randn((weight.shape[0], RANK, *(1 for _ in weight.shape[2:])), generator=chance)
    return down, up * 0.4


def merge(pipe: tiny.Pipe, lora: Halves, weight: float) -> None:
    """Add it to the model's own weights: what a LoRA amounts to."""
    for (part, name), (down, up) in lora.items():
        layer = getattr(pipe, part).get_submodule(name)
        product = up.flatten(1) @ down.flatten(1)
        layer.weight.data += weight * ALPHA / RANK * product.view_as(layer.weight)


def save_kohya(lora: Halves, path: Path, pipe: tiny.Pipe) -> None:
    """kohya's keys: dots become underscores, every layer has an alpha.

    For SDXL the denoiser's layers go by the names of the original code, as kohya's trainer has it.
    """
    two = hasattr(pipe, "text_encoder_2")
    names = _TWO if two else _ONE
    original = original_names(pipe.unet) if two else {}
    tensors = {}
    for (part, name), (down, up) in lora.items():
        module = original.get(f"{name}.weight", f"{name}.weight").removesuffix(".weight")
        if part != "unet":
            module = f"text_model.{name.removeprefix('text_model.')}"
        flat = f"{names[part]}_{module.replace('.', '_')}"
        tensors[f"{flat}.lora_down.weight"] = down.contiguous()
        tensors[f"{flat}.lora_up.weight"] = up.contiguous()
        tensors[f"{flat}.alpha"] = torch.tensor(ALPHA)
    save_file(tensors, path)


def save_peft(lora: Halves, path: Path) -> None:
    """PEFT's keys under the parts' names, as diffusers saves them; alpha is the rank there."""
    tensors = {}
    for (part, name), (down, up) in lora.items():
        tensors[f"{part}.{name}.lora_A.weight"] = down.contiguous()
        tensors[f"{part}.{name}.lora_B.weight"] = (up * ALPHA / RANK).contiguous()
    save_file(tensors, path)


def save_embedding(path: Path, widths: Mapping[str, int], rows: int = 2) -> None:
    """Rows for each text tower, by the key that the file has for it."""
    chance = torch.Generator().manual_seed(5)
    save_file({k: torch.randn(rows, w, generator=chance) for k, w in widths.items()}, path)


def other_vae() -> AutoencoderKL:
    """An autoencoder shaped as the tiny models', with other weights and another scale."""
    torch.manual_seed(99)
    return tiny.vae(scaling_factor=0.3)


def save_original_vae(vae: AutoencoderKL, path: Path) -> None:
    """The autoencoder alone in a file of the original key layout."""
    save_file({name: tensor.contiguous() for name, tensor in original_vae(vae).items()}, path)


def control_of(pipe: tiny.Pipe) -> ControlNetModel:
    """A ControlNet of the pipeline's widths, whose last layers are no longer zero."""
    torch.manual_seed(3)
    control = ControlNetModel.from_unet(
        pipe.unet, conditioning_embedding_out_channels=(8, 16, 16, 16)
    )
    for layer in _last_layers(control):
        nn.init.normal_(layer.weight, std=0.3)
    return control


def save_original_control(control: ControlNetModel, path: Path, prefix: str) -> None:
    """A ControlNet as its authors name its tensors."""
    names = original_names(control)
    hints = {"conv_in": 0, "blocks.0": 2, "blocks.1": 4, "blocks.2": 6, "blocks.3": 8}
    hints |= {"blocks.4": 10, "blocks.5": 12, "conv_out": 14}
    pairs = {
        rf"^controlnet_cond_embedding\.{re.escape(new)}\.": f"input_hint_block.{old}."
        for new, old in hints.items()
    }
    pairs[r"^controlnet_down_blocks\.(\d+)\."] = r"zero_convs.\1.0."
    pairs[r"^controlnet_mid_block\."] = "middle_block_out.0."
    tensors = {prefix + renamed(names[n], pairs): t for n, t in control.state_dict().items()}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)


def _last_layers(control: ControlNetModel) -> Iterator[nn.Module]:
    yield control.controlnet_cond_embedding.conv_out
    yield from control.controlnet_down_blocks
    yield control.controlnet_mid_block


def image_encoder() -> CLIPVisionModelWithProjection:
    """CLIP's picture tower, tiny."""
    torch.manual_seed(4)
    config = CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=32,
        patch_size=8,
        projection_dim=16,
    )
    return CLIPVisionModelWithProjection(config)


def save_adapter(pipe: tiny.Pipe, folder: Path, *, name: str = "ip-adapter_sd15") -> None:
    """A plain IP-Adapter in its authors' layout, and its image encoder beside it."""
    encoder = image_encoder()
    encoder.save_pretrained(folder / "image_encoder")
    unet, chance = pipe.unet, torch.Generator().manual_seed(6)
    cross = unet.config.cross_attention_dim
    tensors = {
        "image_proj.proj.weight": torch.randn(4 * cross, 16, generator=chance) / 4,
        "image_proj.proj.bias": torch.zeros(4 * cross),
        "image_proj.norm.weight": torch.ones(cross),
        "image_proj.norm.bias": torch.zeros(cross),
    }
    texts = [n for n in unet.attn_processors if not n.endswith("attn1.processor")]
    for at, processor in enumerate(texts):
        inner = unet.get_submodule(processor.removesuffix(".processor")).inner_dim
        for half in ("to_k_ip", "to_v_ip"):
            weight = torch.randn(inner, cross, generator=chance) / cross**0.5
            tensors[f"ip_adapter.{1 + 2 * at}.{half}.weight"] = weight
    save_file(tensors, folder / f"{name}.safetensors")
