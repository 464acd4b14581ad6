"""Looking: what an encoder says of pictures, in one batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from index.addition import Look
from index.prompt import plain_words

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from index.encoder import Encoder


def look_at(
    encoder: Encoder,
    images: Sequence[Image.Image],
    prompts: Sequence[str | None],
    text_vectors: Sequence[NDArray[np.float32] | None] | None = None,
) -> list[Look]:
    """Vector, prompt adherence, kind and tags of each picture.

    prompts: as typed; adherence is to their plain words
    text_vectors: the prompts' unit vectors (width,), where they are known already
    """
    from index.tagging import kinds_for, tags_for

    if not images:
        return []
    embeddings = encoder.encode_images(images)
    tags, kinds = tags_for(embeddings, encoder), kinds_for(embeddings, encoder)
    words = [p and plain_words(p) for p in prompts]
    texts = _text_vectors(encoder, words, text_vectors or [None] * len(prompts))
    return [
        Look(vector, None if text is None else float(vector @ text), kind, score, tuple(tagged))
        for vector, text, (kind, score), tagged in zip(embeddings, texts, kinds, tags, strict=True)
    ]


def _text_vectors(
    encoder: Encoder,
    prompts: Sequence[str | None],
    given: Sequence[NDArray[np.float32] | None],
) -> list[NDArray[np.float32] | None]:
    asked = [p for p, v in zip(prompts, given, strict=True) if p and v is None]
    unique = list(dict.fromkeys(asked))
    encoded = dict(zip(unique, encoder.encode_texts(unique), strict=True)) if unique else {}
    return [
        v if v is not None or not p else encoded[p] for p, v in zip(prompts, given, strict=True)
    ]
