"""Tiny upscalers of both kinds, from the real classes, with fixed random weights."""

from __future__ import annotations

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DDPMScheduler,
    EulerDiscreteScheduler,
    StableDiffusionLatentUpscalePipeline,
    StableDiffusionUpscalePipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from index.bundled import bundled_model

_WIDTH = 32


def x4() -> StableDiffusionUpscalePipeline:
    """Stable Diffusion's x4 upscaler: the small picture beside the latent, at every step."""
    torch.manual_seed(3)
    unet = UNet2DConditionModel(
        block_out_channels=(32, 32),
        layers_per_block=1,
        in_channels=7,
        out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=_WIDTH,
        attention_head_dim=8,
        num_class_embeds=1000,
    )
    betas = {"beta_schedule": "scaled_linear", "beta_start": 0.0001, "beta_end": 0.02}
    return StableDiffusionUpscalePipeline(
        vae=_vae(3, scaling_factor=0.08333),
        text_encoder=_tower(),
        tokenizer=_tokenizer(),
        unet=unet.eval(),
        low_res_scheduler=DDPMScheduler(**betas),
        scheduler=DDIMScheduler(**betas, prediction_type="v_prediction"),
    )


def x2() -> StableDiffusionLatentUpscalePipeline:
    """The latent x2 upscaler: k-diffusion's blocks, preconditioned by sigma."""
    torch.manual_seed(3)
    unet = UNet2DConditionModel(
        act_fn="gelu",
        attention_head_dim=8,
        norm_num_groups=None,
        block_out_channels=[32, 32, 64, 64],
        time_cond_proj_dim=128 + _WIDTH,
        conv_in_kernel=1,
        conv_out_kernel=1,
        cross_attention_dim=_WIDTH,
        down_block_types=("KDownBlock2D", *["KCrossAttnDownBlock2D"] * 3),
        in_channels=8,
        mid_block_type=None,
        only_cross_attention=False,
        out_channels=5,
        resnet_time_scale_shift="scale_shift",
        time_embedding_type="fourier",
        timestep_post_act="gelu",
        up_block_types=(*["KCrossAttnUpBlock2D"] * 3, "KUpBlock2D"),
    )
    return StableDiffusionLatentUpscalePipeline(
        vae=_vae(4),
        text_encoder=_tower(),
        tokenizer=_tokenizer(),
        unet=unet.eval(),
        scheduler=EulerDiscreteScheduler(prediction_type="sample"),
    )


def _vae(levels: int, **config: float) -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=[32] * levels,
        down_block_types=["DownEncoderBlock2D"] * levels,
        up_block_types=["UpDecoderBlock2D"] * levels,
        layers_per_block=1,
        latent_channels=4,
        **config,
    ).eval()


def _tower() -> CLIPTextModel:
    config = CLIPTextConfig(
        hidden_size=_WIDTH,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=37,
        bos_token_id=49406,
        eos_token_id=49407,
    )
    return CLIPTextModel(config).eval()


def _tokenizer() -> CLIPTokenizer:
    return CLIPTokenizer.from_pretrained(bundled_model() / "tokenizer", model_max_length=77)
