"""A pipeline as one safetensors file, named as its authors' own code names tensors.

The inverse of the map that diffusers reads such files with: SD 1.x, SD 2.x and SDXL.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from safetensors.torch import save_file
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from tests.tiny import OPEN_CLIP_LAYERS, Pipe

Tensors = dict[str, torch.Tensor]


def save_single(pipe: Pipe, path: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write a pipeline as one safetensors file, with what its metadata is to say."""
    tensors = under("model.diffusion_model.", _original_unet(pipe.unet))
    tensors |= under("first_stage_model.", original_vae(pipe.vae))
    if isinstance(pipe, StableDiffusionXLImg2ImgPipeline):
        tower = _original_open_clip(pipe.text_encoder_2)
        tensors |= under("conditioner.embedders.0.model.", tower)
    elif isinstance(pipe, StableDiffusionXLPipeline):
        first, second = "conditioner.embedders.0.transformer.", "conditioner.embedders.1.model."
        tensors |= under(first, original_clip(pipe.text_encoder))
        tensors |= under(second, _original_open_clip(pipe.text_encoder_2))
    elif pipe.text_encoder.config.hidden_act == "gelu":
        tower = _original_open_clip(pipe.text_encoder)
        tensors |= under("cond_stage_model.model.", tower | _unused_layer(tower))
    else:
        tensors |= under("cond_stage_model.transformer.", original_clip(pipe.text_encoder))
    save_file({k: v.contiguous() for k, v in tensors.items()}, path, dict(metadata or {}))


def under(prefix: str, tensors: Tensors) -> Tensors:
    """Every name with a prefix before it."""
    return {prefix + name: tensor for name, tensor in tensors.items()}


def renamed(name: str, pairs: Mapping[str, str]) -> str:
    """The name after every replacement, in order."""
    for pattern, replacement in pairs.items():
        name = re.sub(pattern, replacement, name)
    return name


_RESNET = {
    r"\.norm1\.": ".in_layers.0.",
    r"\.conv1\.": ".in_layers.2.",
    r"\.norm2\.": ".out_layers.0.",
    r"\.conv2\.": ".out_layers.3.",
    r"\.time_emb_proj\.": ".emb_layers.1.",
    r"\.conv_shortcut\.": ".skip_connection.",
}
_UNET_ENDS = {
    r"^time_embedding\.linear_1\.": "time_embed.0.",
    r"^time_embedding\.linear_2\.": "time_embed.2.",
    r"^add_embedding\.linear_1\.": "label_emb.0.0.",
    r"^add_embedding\.linear_2\.": "label_emb.0.2.",
    r"^conv_in\.": "input_blocks.0.0.",
    r"^conv_norm_out\.": "out.0.",
    r"^conv_out\.": "out.2.",
}


def _original_unet(unet: UNet2DConditionModel) -> Tensors:
    names = original_names(unet)
    return {names[name]: tensor for name, tensor in unet.state_dict().items()}


def original_names(unet: UNet2DConditionModel | ControlNetModel) -> dict[str, str]:
    """What the original code calls each tensor of a denoiser."""
    blocks = _unet_blocks(unet)

    def original(name: str) -> str:
        for new, old in blocks.items():
            if name.startswith(new):
                rest = name[len(new) - 1 :]
                return old + (renamed(rest, _RESNET) if ".resnets." in new else rest)
        return renamed(name, _UNET_ENDS)

    return {name: original(name) for name in unet.state_dict()}


def _unet_blocks(unet: UNet2DConditionModel | ControlNetModel) -> dict[str, str]:
    """diffusers' blocks and the numbers that the original code gives them."""
    layers, levels = unet.config.layers_per_block, len(unet.config.block_out_channels)
    blocks = {
        "mid_block.resnets.0.": "middle_block.0",
        "mid_block.attentions.0.": "middle_block.1",
        "mid_block.resnets.1.": "middle_block.2",
    }
    number = 1
    for level in range(levels):
        for layer in range(layers):
            blocks[f"down_blocks.{level}.resnets.{layer}."] = f"input_blocks.{number}.0"
            blocks[f"down_blocks.{level}.attentions.{layer}."] = f"input_blocks.{number}.1"
            number += 1
        blocks[f"down_blocks.{level}.downsamplers.0.conv."] = f"input_blocks.{number}.0.op"
        number += 1
    number = 0
    for level, block in enumerate(getattr(unet, "up_blocks", ())):
        for layer in range(layers + 1):
            blocks[f"up_blocks.{level}.resnets.{layer}."] = f"output_blocks.{number}.0"
            blocks[f"up_blocks.{level}.attentions.{layer}."] = f"output_blocks.{number}.1"
            number += 1
        place = 2 if hasattr(block, "attentions") else 1
        old = f"output_blocks.{number - 1}.{place}.conv"
        blocks[f"up_blocks.{level}.upsamplers.0.conv."] = old
    return blocks


_VAE = {
    r"encoder\.down_blocks\.(\d)\.resnets\.": r"encoder.down.\1.block.",
    r"encoder\.down_blocks\.(\d)\.downsamplers\.0\.": r"encoder.down.\1.downsample.",
    r"mid_block\.resnets\.0\.": "mid.block_1.",
    r"mid_block\.resnets\.1\.": "mid.block_2.",
    r"mid_block\.attentions\.0\.": "mid.attn_1.",
    r"\.conv_shortcut\.": ".nin_shortcut.",
    r"\.conv_norm_out\.": ".norm_out.",
    r"\.group_norm\.": ".norm.",
    r"\.to_(q|k|v)\.": r".\1.",
    r"\.to_out\.0\.": ".proj_out.",
}


def original_vae(vae: AutoencoderKL) -> Tensors:
    """An autoencoder under its authors' names."""
    top = len(vae.config.block_out_channels) - 1

    def original(name: str) -> str:
        # The original code numbers the decoder's levels from the picture down.
        name = re.sub(
            r"decoder\.up_blocks\.(\d)\.", lambda m: f"decoder.up.{top - int(m[1])}.", name
        )
        name = name.replace(".resnets.", ".block.") if "decoder.up." in name else name
        return renamed(name.replace(".upsamplers.0.", ".upsample."), _VAE)

    def as_convolution(name: str, tensor: torch.Tensor) -> torch.Tensor:
        matrix = ".attn_1." in name and name.endswith("weight") and tensor.ndim == 2
        return tensor[:, :, None, None] if matrix else tensor

    named = {original(name): tensor for name, tensor in vae.state_dict().items()}
    return {name: as_convolution(name, tensor) for name, tensor in named.items()}


def original_clip(tower: CLIPTextModel | CLIPTextModelWithProjection) -> Tensors:
    """A CLIP tower as transformers 4 named it; newer ones leave the prefix out."""
    tensors = {n.removeprefix("text_model."): t for n, t in tower.state_dict().items()}
    own = ("text_projection.",)
    return {n if n.startswith(own) else f"text_model.{n}": t for n, t in tensors.items()}


_OPEN_CLIP = {
    r"^text_model\.": "",
    r"^embeddings\.token_embedding\.": "token_embedding.",
    r"^embeddings\.position_embedding\.weight": "positional_embedding",
    r"^final_layer_norm\.": "ln_final.",
    r"^encoder\.layers\.": "transformer.resblocks.",
    r"\.layer_norm(\d)\.": r".ln_\1.",
    r"\.mlp\.fc1\.": ".mlp.c_fc.",
    r"\.mlp\.fc2\.": ".mlp.c_proj.",
    r"\.self_attn\.": ".attn.",
}


def _original_open_clip(tower: CLIPTextModel | CLIPTextModelWithProjection) -> Tensors:
    tensors = {renamed(name, _OPEN_CLIP): t for name, t in tower.state_dict().items()}
    for name in [n for n in tensors if ".q_proj." in n]:
        thirds = [tensors.pop(name.replace("q_proj", f"{part}_proj")) for part in "qkv"]
        tensors[name.replace(".q_proj.", ".in_proj_")] = torch.cat(thirds)
    projection = tensors.pop("text_projection.weight", None)
    width = tensors["token_embedding.weight"].shape[1]
    tensors["text_projection"] = torch.eye(width) if projection is None else projection.T
    return tensors


def _unused_layer(tower: Tensors) -> Tensors:
    """The last layer of OpenCLIP's tower, which SD 2.x's files hold and nobody uses."""
    last, unused = "resblocks.22.", f"resblocks.{OPEN_CLIP_LAYERS - 1}."
    return {
        name.replace(last, unused): torch.randn_like(tensor)
        for name, tensor in tower.items()
        if last in name
    }
