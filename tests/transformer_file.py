"""SD 3 and FLUX.1 as one safetensors file, named as their authors' own code names tensors.

The inverse of the maps that diffusers reads such files with.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from diffusers import FluxPipeline, StableDiffusion3Pipeline
from safetensors.torch import save_file

from tests.single_file import Tensors, original_clip, original_vae, renamed, under

UNET = "model.diffusion_model."
CLIP_L, CLIP_G, T5 = (
    f"text_encoders.{name}.transformer." for name in ("clip_l", "clip_g", "t5xxl")
)


def save_sd3(pipe: StableDiffusion3Pipeline, path: Path, *, t5: bool = True) -> None:
    """Write an SD 3 pipeline, with its largest tower or without."""
    tensors = under(UNET, original_sd3(pipe.transformer.state_dict()))
    tensors |= under("first_stage_model.", original_vae(pipe.vae))
    # The smaller tower's projection is an identity, which files leave out.
    small = original_clip(pipe.text_encoder)
    tensors |= under(CLIP_L, {n: t for n, t in small.items() if "text_projection" not in n})
    tensors |= under(CLIP_G, original_clip(pipe.text_encoder_2))
    if t5:
        tensors |= under(T5, _stored_once(pipe.text_encoder_3.state_dict()))
    save_file({k: v.contiguous() for k, v in tensors.items()}, path)


def save_flux(pipe: FluxPipeline, path: Path) -> None:
    """Write a FLUX.1 pipeline."""
    tensors = under(UNET, original_flux(pipe.transformer.state_dict()))
    tensors |= under("vae.", original_vae(pipe.vae))
    tensors |= under(CLIP_L, original_clip(pipe.text_encoder))
    tensors |= under(T5, _stored_once(pipe.text_encoder_2.state_dict()))
    save_file({k: v.contiguous() for k, v in tensors.items()}, path)


def _stored_once(tensors: Tensors) -> Tensors:
    return {name: t for name, t in tensors.items() if name != "encoder.embed_tokens.weight"}


_SD3 = {
    r"^pos_embed\.pos_embed$": "pos_embed",
    r"^pos_embed\.proj\.": "x_embedder.proj.",
    r"^time_text_embed\.timestep_embedder\.linear_1\.": "t_embedder.mlp.0.",
    r"^time_text_embed\.timestep_embedder\.linear_2\.": "t_embedder.mlp.2.",
    r"^time_text_embed\.text_embedder\.linear_1\.": "y_embedder.mlp.0.",
    r"^time_text_embed\.text_embedder\.linear_2\.": "y_embedder.mlp.2.",
    r"^norm_out\.linear\.": "final_layer.adaLN_modulation.1.",
    r"^proj_out\.": "final_layer.linear.",
    r"^transformer_blocks\.(\d+)\.norm1\.linear\.": r"joint_blocks.\1.x_block.adaLN_modulation.1.",
    r"^transformer_blocks\.(\d+)\.norm1_context\.linear\.": (
        r"joint_blocks.\1.context_block.adaLN_modulation.1."
    ),
    r"^transformer_blocks\.(\d+)\.attn\.to_out\.0\.": r"joint_blocks.\1.x_block.attn.proj.",
    r"^transformer_blocks\.(\d+)\.attn\.to_add_out\.": r"joint_blocks.\1.context_block.attn.proj.",
    r"^transformer_blocks\.(\d+)\.attn\.to_(q|k|v)\.": r"joint_blocks.\1.x_block.attn.\2.",
    r"^transformer_blocks\.(\d+)\.attn\.add_(q|k|v)_proj\.": (
        r"joint_blocks.\1.context_block.attn.\2."
    ),
    r"^transformer_blocks\.(\d+)\.ff\.net\.0\.proj\.": r"joint_blocks.\1.x_block.mlp.fc1.",
    r"^transformer_blocks\.(\d+)\.ff\.net\.2\.": r"joint_blocks.\1.x_block.mlp.fc2.",
    r"^transformer_blocks\.(\d+)\.ff_context\.net\.0\.proj\.": (
        r"joint_blocks.\1.context_block.mlp.fc1."
    ),
    r"^transformer_blocks\.(\d+)\.ff_context\.net\.2\.": r"joint_blocks.\1.context_block.mlp.fc2.",
}


def original_sd3(tensors: Tensors) -> Tensors:
    """The denoiser of SD 3 under its authors' names."""
    named = {renamed(name, _SD3): tensor for name, tensor in tensors.items()}
    last = max(int(name.split(".")[1]) for name in named if name.startswith("joint_blocks."))
    swapped = ("final_layer.adaLN", f"joint_blocks.{last}.context_block.adaLN")
    for name in [n for n in named if n.startswith(swapped)]:
        named[name] = _swapped(named[name])
    return _joined(named, "qkv")


_FLUX = {
    r"^time_text_embed\.timestep_embedder\.linear_1\.": "time_in.in_layer.",
    r"^time_text_embed\.timestep_embedder\.linear_2\.": "time_in.out_layer.",
    r"^time_text_embed\.text_embedder\.linear_1\.": "vector_in.in_layer.",
    r"^time_text_embed\.text_embedder\.linear_2\.": "vector_in.out_layer.",
    r"^time_text_embed\.guidance_embedder\.linear_1\.": "guidance_in.in_layer.",
    r"^time_text_embed\.guidance_embedder\.linear_2\.": "guidance_in.out_layer.",
    r"^context_embedder\.": "txt_in.",
    r"^x_embedder\.": "img_in.",
    r"^norm_out\.linear\.": "final_layer.adaLN_modulation.1.",
    r"^proj_out\.": "final_layer.linear.",
    r"^single_transformer_blocks\.": "single_blocks.",
    r"^transformer_blocks\.": "double_blocks.",
    r"\.norm1\.linear\.": ".img_mod.lin.",
    r"\.norm1_context\.linear\.": ".txt_mod.lin.",
    r"\.attn\.to_out\.0\.": ".img_attn.proj.",
    r"\.attn\.to_add_out\.": ".txt_attn.proj.",
    r"\.attn\.norm_added_q\.weight": ".txt_attn.norm.query_norm.scale",
    r"\.attn\.norm_added_k\.weight": ".txt_attn.norm.key_norm.scale",
    r"(double_blocks\.\d+)\.attn\.norm_q\.weight": r"\1.img_attn.norm.query_norm.scale",
    r"(double_blocks\.\d+)\.attn\.norm_k\.weight": r"\1.img_attn.norm.key_norm.scale",
    r"(single_blocks\.\d+)\.attn\.norm_q\.weight": r"\1.norm.query_norm.scale",
    r"(single_blocks\.\d+)\.attn\.norm_k\.weight": r"\1.norm.key_norm.scale",
    r"(double_blocks\.\d+)\.attn\.to_(q|k|v)\.": r"\1.img_attn.\2.",
    r"\.attn\.add_(q|k|v)_proj\.": r".txt_attn.\1.",
    r"(single_blocks\.\d+)\.attn\.to_(q|k|v)\.": r"\1.\2.",
    r"(single_blocks\.\d+)\.proj_mlp\.": r"\1.m.",
    r"(single_blocks\.\d+)\.proj_out\.": r"\1.linear2.",
    r"(single_blocks\.\d+)\.norm\.linear\.": r"\1.modulation.lin.",
    r"\.ff\.net\.0\.proj\.": ".img_mlp.0.",
    r"\.ff\.net\.2\.": ".img_mlp.2.",
    r"\.ff_context\.net\.0\.proj\.": ".txt_mlp.0.",
    r"\.ff_context\.net\.2\.": ".txt_mlp.2.",
}


def original_flux(tensors: Tensors) -> Tensors:
    """The denoiser of FLUX.1 under its authors' names."""
    named = {renamed(name, _FLUX): tensor for name, tensor in tensors.items()}
    for name in [n for n in named if n.startswith("final_layer.adaLN")]:
        named[name] = _swapped(named[name])
    single = {n: t for n, t in named.items() if n.startswith("single_blocks.")}
    double = {n: t for n, t in named.items() if n not in single}
    return _joined(double, "qkv") | _joined(single, "qkvm", "linear1")


def _joined(named: Mapping[str, torch.Tensor], letters: str, joint: str = "qkv") -> Tensors:
    """Matrices that lie apart in diffusers and side by side in the original."""
    pattern = re.compile(rf"\.[{letters}]\.(weight|bias)$")
    kept = {name: tensor for name, tensor in named.items() if not pattern.search(name)}
    for name in (n for n in named if re.search(r"\.q\.(weight|bias)$", n)):
        parts = [named[re.sub(r"\.q\.", f".{letter}.", name)] for letter in letters]
        kept[re.sub(r"\.q\.", f".{joint}.", name)] = torch.cat(parts)
    return kept


def _swapped(tensor: torch.Tensor) -> torch.Tensor:
    scale, shift = tensor.chunk(2, dim=0)
    return torch.cat([shift, scale])
