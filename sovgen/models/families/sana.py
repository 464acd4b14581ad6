"""Sana: a linear transformer over a latent of 32 pixels a cell, steered by a Gemma 2."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from sovgen.models.family import Configs, Family

_TOKENS = 300


def _encoding(configs: Configs, negative: bool) -> Mapping[str, Any]:
    """A prompt stands behind the instruction that the model was trained with, a negative alone."""
    return {
        "do_classifier_free_guidance": False,
        "max_sequence_length": _TOKENS,
        "complex_human_instruction": None if negative else _instruction(),
    }


def _instruction() -> list[str]:
    from diffusers import SanaPipeline

    parameters = inspect.signature(SanaPipeline.__call__).parameters
    return list(parameters["complex_human_instruction"].default)


SANA = Family(
    pipeline="SanaPipeline",
    denoiser="transformer",
    parts={
        "transformer": frozenset(("SanaTransformer2DModel",)),
        "vae": frozenset(("AutoencoderDC",)),
        "text_encoder": frozenset(("Gemma2Model",)),
        "tokenizer": frozenset(("GemmaTokenizer", "GemmaTokenizerFast")),
    },
    title=lambda configs: "Sana",
    defaults=lambda configs: (20, 4.5),
    limits=lambda configs: {"text_encoder": _TOKENS},
    encoding=_encoding,
    second="mask",
    side=32,
    # A size that was asked for is drawn, not the nearest one of a table.
    drawing={"use_resolution_binning": False, "negative_prompt": None},
)
