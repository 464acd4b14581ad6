"""PixArt-Sigma: a transformer that looks at the words of a T5, with SDXL's autoencoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sovgen.models.family import KL, T5, T5_TOKENIZERS, Configs, Family

_TOKENS = 300


def _encoding(configs: Configs, negative: bool) -> Mapping[str, Any]:
    # Cleaning would depend on whether beautifulsoup happens to be installed.
    return {
        "do_classifier_free_guidance": False,
        "max_sequence_length": _TOKENS,
        "clean_caption": False,
    }


PIXART = Family(
    pipeline="PixArtSigmaPipeline",
    denoiser="transformer",
    # The first folders name the class that diffusers later took apart.
    parts={
        "transformer": frozenset(("PixArtTransformer2DModel", "Transformer2DModel")),
        "vae": KL,
        "text_encoder": T5,
        "tokenizer": T5_TOKENIZERS,
    },
    title=lambda configs: "PixArt-Sigma",
    defaults=lambda configs: (20, 4.5),
    limits=lambda configs: {"text_encoder": _TOKENS},
    encoding=_encoding,
    second="mask",
    side=128,
    # A size that was asked for is drawn, not the nearest one of a table.
    drawing={"use_resolution_binning": False, "negative_prompt": None},
)
