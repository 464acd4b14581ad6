"""Tiny models of every family, from the real classes, with fixed random weights.

`PIPES` builds each in memory. The denoiser has two levels, the autoencoder four, as in the real
models, and the text towers read CLIP's own vocabulary.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping
from typing import Any

import torch
from diffusers import (
    AutoencoderDC,
    AutoencoderKL,
    DDIMScheduler,
    DiffusionPipeline,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    PixArtSigmaPipeline,
    PixArtTransformer2DModel,
    PNDMScheduler,
    SanaPipeline,
    SanaTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLImg2ImgPipeline,
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
    Gemma2Config,
    Gemma2Model,
    GemmaTokenizer,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)

from index.bundled import bundled_model

Pipe = StableDiffusionPipeline | StableDiffusionXLPipeline

_BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
_NO_QUANT = {"use_quant_conv": False, "use_post_quant_conv": False}
_SEED = 7
# SD 2.x uses 23 of OpenCLIP's 24 layers.
OPEN_CLIP_LAYERS = 24


def sd1() -> StableDiffusionPipeline:
    """Stable Diffusion 1.x: one quick-GELU tower, epsilon."""
    torch.manual_seed(_SEED)
    return StableDiffusionPipeline(
        unet=_unet(cross_attention_dim=64, attention_head_dim=8),
        vae=vae(scaling_factor=0.18215),
        text_encoder=CLIPTextModel(_text_config(64, 2, "quick_gelu")),
        tokenizer=_tokenizer("<|endoftext|>"),
        scheduler=PNDMScheduler(
            **_BETAS, skip_prk_steps=True, set_alpha_to_one=False, steps_offset=1
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def inpainting() -> StableDiffusionInpaintPipeline:
    """Stable Diffusion 1.x for inpainting: a U-Net of nine channels."""
    pipe = sd1()
    unet = _unet(cross_attention_dim=64, attention_head_dim=8, in_channels=9)
    parts = {**pipe.components, "unet": unet, "image_encoder": None}
    return StableDiffusionInpaintPipeline(**parts, requires_safety_checker=False)


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
        vae=vae(scaling_factor=0.18215),
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


def _xl_unet(states: int, numbers: int) -> UNet2DConditionModel:
    """SDXL's shape; states: width of what it attends to; numbers: sizes and scores beside time."""
    return _unet(
        cross_attention_dim=states,
        attention_head_dim=[1, 2],
        block_out_channels=(64, 128),
        use_linear_projection=True,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=[1, 2],
        addition_embed_type="text_time",
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=numbers * 256 + 128,
    )


def sdxl() -> StableDiffusionXLPipeline:
    """SDXL: two towers, pooled text and size in the time embedding."""
    torch.manual_seed(_SEED)
    return StableDiffusionXLPipeline(
        unet=_xl_unet(192, numbers=6),
        vae=vae(scaling_factor=0.13025, force_upcast=True),
        text_encoder=CLIPTextModel(_text_config(64, 2, "quick_gelu")),
        text_encoder_2=CLIPTextModelWithProjection(_text_config(128, 2, "gelu")),
        tokenizer=_tokenizer("<|endoftext|>"),
        tokenizer_2=_tokenizer("!"),
        scheduler=EulerDiscreteScheduler(**_BETAS, steps_offset=1, timestep_spacing="leading"),
        add_watermarker=False,
    )


def refiner() -> StableDiffusionXLImg2ImgPipeline:
    """SDXL's refiner: the second tower alone, and a score of beauty in the time embedding."""
    torch.manual_seed(_SEED)
    base = sdxl()
    return StableDiffusionXLImg2ImgPipeline(
        unet=_xl_unet(128, numbers=5),
        vae=base.vae,
        text_encoder=None,
        text_encoder_2=base.text_encoder_2,
        tokenizer=None,
        tokenizer_2=base.tokenizer_2,
        scheduler=base.scheduler,
        requires_aesthetics_score=True,
        force_zeros_for_empty_prompt=False,
        add_watermarker=False,
    )


def sd3() -> StableDiffusion3Pipeline:
    """Stable Diffusion 3: a joint transformer, two CLIP towers with projections and a T5."""
    torch.manual_seed(_SEED)
    small = CLIPTextModelWithProjection(_text_config(64, 2, "quick_gelu"))
    # As in all of SD 3's models.
    torch.nn.init.eye_(small.text_projection.weight)
    return StableDiffusion3Pipeline(
        transformer=SD3Transformer2DModel(
            sample_size=8,
            patch_size=2,
            in_channels=16,
            num_layers=2,
            attention_head_dim=64,
            num_attention_heads=2,
            caption_projection_dim=128,
            joint_attention_dim=192,
            pooled_projection_dim=64 + 128,
            out_channels=16,
            pos_embed_max_size=64,
        ).eval(),
        vae=vae(16, scaling_factor=1.5305, shift_factor=0.0609, **_NO_QUANT),
        text_encoder=small,
        text_encoder_2=CLIPTextModelWithProjection(_text_config(128, 2, "gelu")),
        text_encoder_3=_t5(192),
        tokenizer=_tokenizer("<|endoftext|>"),
        tokenizer_2=_tokenizer("!"),
        tokenizer_3=_t5_tokenizer(),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
    )


def flux_dev() -> FluxPipeline:
    """FLUX.1 dev: guidance told to the denoiser, steps shifted by the picture's size."""
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True)
    return _flux(scheduler, guidance_embeds=True)


def flux_schnell() -> FluxPipeline:
    """FLUX.1 schnell: no guidance."""
    return _flux(FlowMatchEulerDiscreteScheduler(shift=1.0), guidance_embeds=False)


def _flux(scheduler: FlowMatchEulerDiscreteScheduler, *, guidance_embeds: bool) -> FluxPipeline:
    torch.manual_seed(_SEED)
    return FluxPipeline(
        transformer=FluxTransformer2DModel(
            in_channels=64,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=32,
            num_attention_heads=2,
            joint_attention_dim=32,
            pooled_projection_dim=64,
            axes_dims_rope=(8, 12, 12),
            guidance_embeds=guidance_embeds,
        ).eval(),
        vae=vae(16, scaling_factor=0.3611, shift_factor=0.1159, **_NO_QUANT),
        text_encoder=CLIPTextModel(_text_config(64, 2, "quick_gelu")),
        text_encoder_2=_t5(32),
        tokenizer=_tokenizer("<|endoftext|>"),
        tokenizer_2=_t5_tokenizer(),
        scheduler=scheduler,
    )


def pixart() -> PixArtSigmaPipeline:
    """PixArt-Sigma: a T5 alone, noise and its variance predicted."""
    torch.manual_seed(_SEED)
    return PixArtSigmaPipeline(
        transformer=PixArtTransformer2DModel(
            sample_size=8,
            num_layers=2,
            attention_head_dim=32,
            num_attention_heads=2,
            cross_attention_dim=64,
            caption_channels=32,
            use_additional_conditions=False,
        ).eval(),
        vae=vae(4, scaling_factor=0.13025),
        text_encoder=_t5(32),
        tokenizer=_t5_tokenizer(),
        scheduler=DPMSolverMultistepScheduler(beta_schedule="linear"),
    )


def sana() -> SanaPipeline:
    """Sana: a deeply compressing autoencoder, a Gemma 2, and a solver that follows a flow."""
    torch.manual_seed(_SEED)
    return SanaPipeline(
        transformer=SanaTransformer2DModel(
            in_channels=4,
            out_channels=4,
            num_layers=2,
            num_attention_heads=2,
            attention_head_dim=32,
            num_cross_attention_heads=2,
            cross_attention_head_dim=32,
            cross_attention_dim=64,
            caption_channels=32,
            sample_size=8,
            patch_size=1,
        ).eval(),
        vae=AutoencoderDC(
            latent_channels=4,
            attention_head_dim=8,
            encoder_block_out_channels=(16, 16, 32, 32),
            decoder_block_out_channels=(16, 16, 32, 32),
            encoder_block_types=("ResBlock", "ResBlock", "ResBlock", "EfficientViTBlock"),
            decoder_block_types=("ResBlock", "ResBlock", "ResBlock", "EfficientViTBlock"),
            encoder_layers_per_block=(1, 1, 1, 1),
            decoder_layers_per_block=(1, 1, 1, 1),
            encoder_qkv_multiscales=((), (), (), (5,)),
            decoder_qkv_multiscales=((), (), (), (5,)),
            upsample_block_type="interpolate",
            downsample_block_type="pixel_unshuffle",
            scaling_factor=0.41407,
        ).eval(),
        text_encoder=_gemma(),
        tokenizer=_gemma_tokenizer(),
        scheduler=DPMSolverMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
        ),
    )


PIPES: Mapping[str, Callable[[], Pipe]] = {"sd1": sd1, "sd2": sd2, "sdxl": sdxl}
TRANSFORMERS: Mapping[str, Callable[[], DiffusionPipeline]] = {
    "sd3": sd3,
    "flux_dev": flux_dev,
    "flux_schnell": flux_schnell,
    "pixart": pixart,
    "sana": sana,
}


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


def vae(channels: int = 4, **config: Any) -> AutoencoderKL:  # noqa: ANN401
    """The autoencoder of every family."""
    return AutoencoderKL(
        block_out_channels=(32, 32, 32, 64),
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        layers_per_block=1,
        latent_channels=channels,
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


def _t5(width: int) -> T5EncoderModel:
    return T5EncoderModel(
        T5Config(
            vocab_size=len(_t5_tokenizer()),
            d_model=width,
            d_kv=16,
            d_ff=2 * width,
            num_layers=2,
            num_heads=2,
            feed_forward_proj="gated-gelu",
            is_encoder_decoder=False,
        )
    ).eval()


def _t5_tokenizer() -> T5Tokenizer:
    """Letters and a few words, in the form of T5's own."""
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    words = [(f"▁{word}", -3.0) for word in ("a", "red", "fox", "cat", "dog", "house")]
    letters = [(letter, -4.0) for letter in string.ascii_letters + string.digits]
    return T5Tokenizer(vocab=special + words + letters, extra_ids=0, model_max_length=512)


def _gemma() -> Gemma2Model:
    return Gemma2Model(
        Gemma2Config(
            vocab_size=len(_gemma_tokenizer()),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=16,
        )
    ).eval()


def _gemma_tokenizer() -> GemmaTokenizer:
    """Bytes and letters, in the form of Gemma's own."""
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    pieces = special + [f"<0x{byte:02X}>" for byte in range(256)] + ["▁", *string.printable[:94]]
    vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
    return GemmaTokenizer(vocab=vocabulary, merges=[])
