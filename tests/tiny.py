"""Tiny models of every family, from the real classes, with fixed random weights.

`PIPES` builds each in memory. The denoiser has two levels, the autoencoder four, as in the real
models, and the text towers read CLIP's own vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
)

from index.bundled import bundled_model

Pipe = StableDiffusionPipeline | StableDiffusionXLPipeline

_BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
_SEED = 7
# SD 2.x uses 23 of OpenCLIP's 24 layers.
OPEN_CLIP_LAYERS = 24


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
        text_encoder=CLIPTextModel(_text_config(64, OPEN_CLIP_LAYERS - 1, "gelu")),
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
