"""FLUX.1: a transformer of double and single blocks, a CLIP tower for the whole and a T5."""

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
    Guidance,
)


def _is_dev(configs: Configs) -> bool:
    """dev is told its guidance; schnell was distilled further, to a few steps without."""
    return bool(configs["transformer"].get("guidance_embeds"))


def _guidance(configs: Configs) -> Guidance:
    return "embedded" if _is_dev(configs) else "none"


def _tokens(configs: Configs) -> int:
    return 512 if _is_dev(configs) else 256


def _encoding(configs: Configs, negative: bool) -> Mapping[str, Any]:
    return {"max_sequence_length": _tokens(configs)}


FLUX = Family(
    pipeline="FluxPipeline",
    aliases=("FluxImg2ImgPipeline",),
    denoiser="transformer",
    parts={
        "transformer": frozenset(("FluxTransformer2DModel",)),
        "vae": KL,
        "text_encoder": CLIP_TOWERS,
        "text_encoder_2": T5,
        "tokenizer": CLIP_TOKENIZERS,
        "tokenizer_2": T5_TOKENIZERS,
    },
    title=lambda configs: f"FLUX.1 {'dev' if _is_dev(configs) else 'schnell'}",
    defaults=lambda configs: (28, 3.5) if _is_dev(configs) else (4, 1.0),
    guidance=_guidance,
    limits=lambda configs: {"text_encoder_2": _tokens(configs)},
    encoding=_encoding,
    second="pooled",
    packed=2,
    side=128,
)
