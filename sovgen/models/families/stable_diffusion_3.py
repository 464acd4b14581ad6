"""Stable Diffusion 3 and 3.5: a transformer over image and text, two CLIP towers and a T5."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sovgen.models.family import (
    CLIP_TOKENIZERS,
    CLIP_TOWERS,
    KL,
    T5,
    T5_TOKENIZERS,
    Configs,
    Family,
)

_TOKENS = 256


def _title(configs: Configs) -> str:
    # 3.5 normalises its queries and keys.
    newer = configs["transformer"].get("qk_norm")
    return "Stable Diffusion 3.5" if newer else "Stable Diffusion 3"


def _defaults(configs: Configs) -> tuple[int, float]:
    return (28, 4.5) if configs["transformer"].get("qk_norm") else (28, 7.0)


def _encoding(configs: Configs, negative: bool) -> Mapping[str, Any]:
    return {
        "prompt_2": None,
        "prompt_3": None,
        "do_classifier_free_guidance": False,
        "max_sequence_length": _TOKENS,
    }


SD3 = Family(
    pipeline="StableDiffusion3Pipeline",
    aliases=("StableDiffusion3Img2ImgPipeline",),
    denoiser="transformer",
    parts={
        "transformer": frozenset(("SD3Transformer2DModel",)),
        "vae": KL,
        "text_encoder": CLIP_TOWERS,
        "text_encoder_2": CLIP_TOWERS,
        "text_encoder_3": T5,
        "tokenizer": CLIP_TOKENIZERS,
        "tokenizer_2": CLIP_TOKENIZERS,
        "tokenizer_3": T5_TOKENIZERS,
    },
    # The largest tower may be left out: diffusers then reads zeros in its place.
    optional=frozenset(("text_encoder_3", "tokenizer_3")),
    title=_title,
    defaults=_defaults,
    limits=lambda configs: {"text_encoder_3": _TOKENS},
    encoding=_encoding,
    second="pooled",
    side=128,
)
