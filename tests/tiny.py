"""Tiny models of every family, from the real classes, with fixed random weights.

`PIPES` builds each in memory; `save_single` writes one as a single file in the original key layout,
by the inverse of the map that diffusers reads such files with. The denoiser has two levels, the
autoencoder four, as in the real models, and the text towers read CLIP's own vocabulary.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    EulerDiscreteScheduler,
    PNDMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from safetensors.torch import save_file
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
)

from index.bundled import bundled_model

Tensors = dict[str, torch.Tensor]
Pipe = StableDiffusionPipeline | StableDiffusionXLPipeline

_BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
_SEED = 7
# SD 2.x uses 23 of OpenCLIP's 24 layers.
_OPEN_CLIP_LAYERS = 24


def sd1() -> StableDiffusionPipeline:
    """Stable Diffusion 1.x: one quick-GELU tower, epsilon."""
    torch.manual_seed(_SEED)
    return StableDiffusionPipeline(
        unet=_unet(cross_attention_dim=64, attention_head_dim=8),
        vae=_vae(scaling_factor=0.18215),
        text_encoder=CLIPTextModel(_text_config(64, 2, "quick_gelu")),
        tokenizer=_tokenizer("<|endoftext|>"),
        scheduler=PNDMScheduler(
            **_BETAS, skip_prk_steps=True, set_alpha_to_one=False, steps_offset=1
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def sd2() -> StableDiffusionPipeline:
    """Stable Diffusion 2.x: an OpenCLIP tower with GELU, matrix projections, v-prediction."""
    torch.manual_seed(_SEED)
    return StableDiffusionPipeline(
        unet=_unet(
            cross_attention_dim=64,
            attention_head_dim=[1, 2],
            block_out_channels=(64, 128),
            use_linear_projection=True,
        ),
        vae=_vae(scaling_factor=0.18215),
        text_encoder=CLIPTextModel(_text_config(64, _OPEN_CLIP_LAYERS - 1, "gelu")),
        tokenizer=_tokenizer("!"),
        scheduler=DDIMScheduler(
            **_BETAS,
            prediction_type="v_prediction",
            set_alpha_to_one=False,
            steps_offset=1,
            clip_sample=False,
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def sdxl() -> StableDiffusionXLPipeline:
    """SDXL: two towers, pooled text and size in the time embedding."""
    torch.manual_seed(_SEED)
    return StableDiffusionXLPipeline(
        unet=_unet(
            cross_attention_dim=192,
            attention_head_dim=[1, 2],
            block_out_channels=(64, 128),
            use_linear_projection=True,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            transformer_layers_per_block=[1, 2],
            addition_embed_type="text_time",
            addition_time_embed_dim=256,
            projection_class_embeddings_input_dim=6 * 256 + 128,
        ),
        vae=_vae(scaling_factor=0.13025, force_upcast=True),
        text_encoder=CLIPTextModel(_text_config(64, 2, "quick_gelu")),
        text_encoder_2=CLIPTextModelWithProjection(_text_config(128, 2, "gelu")),
        tokenizer=_tokenizer("<|endoftext|>"),
        tokenizer_2=_tokenizer("!"),
        scheduler=EulerDiscreteScheduler(**_BETAS, steps_offset=1, timestep_spacing="leading"),
        add_watermarker=False,
    )


PIPES: Mapping[str, Callable[[], Pipe]] = {"sd1": sd1, "sd2": sd2, "sdxl": sdxl}


def safety_parts() -> tuple[StableDiffusionSafetyChecker, CLIPImageProcessor]:
    """A tiny safety checker and the processor that feeds it."""
    torch.manual_seed(_SEED)
    config = CLIPConfig(
        text_config={"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1},
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": 32,
            "patch_size": 8,
        },
        projection_dim=16,
    )
    size = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    return StableDiffusionSafetyChecker(config), CLIPImageProcessor(**size)


def save_single(pipe: Pipe, path: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write a tiny pipeline as one safetensors file, as its authors' own code names tensors."""
    tensors = _under("model.diffusion_model.", _original_unet(pipe.unet))
    tensors |= _under("first_stage_model.", _original_vae(pipe.vae))
    if isinstance(pipe, StableDiffusionXLPipeline):
        first, second = "conditioner.embedders.0.transformer.", "conditioner.embedders.1.model."
        tensors |= _under(first, _original_clip(pipe.text_encoder))
        tensors |= _under(second, _original_open_clip(pipe.text_encoder_2))
    elif pipe.text_encoder.config.hidden_act == "gelu":
        tower = _original_open_clip(pipe.text_encoder)
        tensors |= _under("cond_stage_model.model.", tower | _unused_layer(tower))
    else:
        tensors |= _under("cond_stage_model.transformer.", _original_clip(pipe.text_encoder))
    save_file({k: v.contiguous() for k, v in tensors.items()}, path, dict(metadata or {}))


def _unet(**config: Any) -> UNet2DConditionModel:  # noqa: ANN401
    defaults: dict[str, Any] = {
        "sample_size": 8,
        "block_out_channels": (32, 64),
        "layers_per_block": 2,
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    }
    return UNet2DConditionModel(**defaults | config).eval()


def _vae(**config: Any) -> AutoencoderKL:  # noqa: ANN401
    return AutoencoderKL(
        block_out_channels=(32, 32, 32, 64),
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        layers_per_block=1,
        latent_channels=4,
        sample_size=64,
        **config,
    ).eval()


def _text_config(width: int, layers: int, activation: str) -> CLIPTextConfig:
    return CLIPTextConfig(
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=width // 64,
        intermediate_size=2 * width,
        projection_dim=width,
        hidden_act=activation,
        bos_token_id=49406,
        eos_token_id=49407,
    )


def _tokenizer(pad: str) -> CLIPTokenizer:
    return CLIPTokenizer.from_pretrained(
        bundled_model() / "tokenizer", model_max_length=77, pad_token=pad
    )


def _under(prefix: str, tensors: Tensors) -> Tensors:
    return {prefix + name: tensor for name, tensor in tensors.items()}


def _renamed(name: str, pairs: Mapping[str, str]) -> str:
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
    blocks = _unet_blocks(unet)

    def original(name: str) -> str:
        for new, old in blocks.items():
            if name.startswith(new):
                rest = name[len(new) - 1 :]
                return old + (_renamed(rest, _RESNET) if ".resnets." in new else rest)
        return _renamed(name, _UNET_ENDS)

    return {original(name): tensor for name, tensor in unet.state_dict().items()}


def _unet_blocks(unet: UNet2DConditionModel) -> dict[str, str]:
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
    for level, block in enumerate(unet.up_blocks):
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


def _original_vae(vae: AutoencoderKL) -> Tensors:
    top = len(vae.config.block_out_channels) - 1

    def original(name: str) -> str:
        # The original code numbers the decoder's levels from the picture down.
        name = re.sub(
            r"decoder\.up_blocks\.(\d)\.", lambda m: f"decoder.up.{top - int(m[1])}.", name
        )
        name = name.replace(".resnets.", ".block.") if "decoder.up." in name else name
        return _renamed(name.replace(".upsamplers.0.", ".upsample."), _VAE)

    def as_convolution(name: str, tensor: torch.Tensor) -> torch.Tensor:
        matrix = ".attn_1." in name and name.endswith("weight") and tensor.ndim == 2
        return tensor[:, :, None, None] if matrix else tensor

    named = {original(name): tensor for name, tensor in vae.state_dict().items()}
    return {name: as_convolution(name, tensor) for name, tensor in named.items()}


def _original_clip(tower: CLIPTextModel) -> Tensors:
    # Newer transformers leave the prefix out.
    tensors = tower.state_dict()
    return {f"text_model.{name.removeprefix('text_model.')}": t for name, t in tensors.items()}


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
    tensors = {_renamed(name, _OPEN_CLIP): t for name, t in tower.state_dict().items()}
    for name in [n for n in tensors if ".q_proj." in n]:
        thirds = [tensors.pop(name.replace("q_proj", f"{part}_proj")) for part in "qkv"]
        tensors[name.replace(".q_proj.", ".in_proj_")] = torch.cat(thirds)
    projection = tensors.pop("text_projection.weight", None)
    width = tensors["token_embedding.weight"].shape[1]
    tensors["text_projection"] = torch.eye(width) if projection is None else projection.T
    return tensors


def _unused_layer(tower: Tensors) -> Tensors:
    """The last layer of OpenCLIP's tower, which SD 2.x's files hold and nobody uses."""
    last, unused = "resblocks.22.", f"resblocks.{_OPEN_CLIP_LAYERS - 1}."
    return {
        name.replace(last, unused): torch.randn_like(tensor)
        for name, tensor in tower.items()
        if last in name
    }
