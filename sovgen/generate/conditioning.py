"""Conditioning: prompts become the text states that steer the denoiser.

Shapes: states (n, tokens, width); pooled (n, width), for families that use it. Each text is
encoded alone and remembered, so that its states are the same bits in every batch. Knows nothing
of seeds or pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sovgen.models.quiet import libraries_held_back

if TYPE_CHECKING:
    from torch import Tensor

    from sovgen.models.model import Model

_REMEMBERED = 256


@dataclass(frozen=True)
class Conditioning:
    """What steers n pictures; the negative half is None when there is no guidance."""

    states: Tensor
    negative_states: Tensor | None
    pooled: Tensor | None
    negative_pooled: Tensor | None


def condition(
    model: Model, prompts: Sequence[str], negatives: Sequence[str], guided: bool
) -> Conditioning:
    """Encode n prompts and, when guidance is on, n negatives."""
    states, pooled = _rows(model, prompts, negative=False)
    unguided = (None, None)
    negative_states, negative_pooled = (
        _rows(model, negatives, negative=True) if guided else unguided
    )
    return Conditioning(states, negative_states, pooled, negative_pooled)


def dropped_words(model: Model, text: str) -> list[str]:
    """The words that the model's text towers do not read, since the text is too long for them."""
    pipe = model.pipe
    tokenizers = [pipe.tokenizer, getattr(pipe, "tokenizer_2", None)]
    kept = min(_words_read(t, text, model.max_tokens) for t in tokenizers if t is not None)
    return text.split()[kept:]


def _words_read(tokenizer: object, text: str, limit: int) -> int:
    """How many words fit into `limit` tokens, found by halving."""
    words = text.split()

    def fits(count: int) -> bool:
        ids = tokenizer(" ".join(words[:count]), truncation=False)["input_ids"]  # type: ignore[operator]
        return len(ids) <= limit

    if fits(len(words)):
        return len(words)
    low, high = 0, len(words)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _rows(model: Model, texts: Sequence[str], *, negative: bool) -> tuple[Tensor, Tensor | None]:
    import torch

    encoded = [_encode(model, text, negative) for text in texts]
    columns = [torch.cat(column) for column in zip(*encoded, strict=True)]
    return columns[0], columns[1] if len(columns) > 1 else None


def _encode(model: Model, text: str, negative: bool) -> tuple[Tensor, ...]:
    """States (1, tokens, width) and, for SDXL, pooled (1, width)."""
    import torch

    found = model.texts.get(text)
    if found is None:
        with torch.inference_mode(), libraries_held_back():
            found = _encode_now(model, text)
        while len(model.texts) >= _REMEMBERED:
            model.texts.pop(next(iter(model.texts)))
        model.texts[text] = found
    if negative and not text and model.pipe.config.get("force_zeros_for_empty_prompt"):
        return tuple(torch.zeros_like(part) for part in found)
    return found


def _encode_now(model: Model, text: str) -> tuple[Tensor, ...]:
    encoded = model.pipe.encode_prompt(
        prompt=text,
        device=model.pipe._execution_device,
        num_images_per_prompt=1,
        do_classifier_free_guidance=False,
    )
    # (states, None) from SD; (states, None, pooled, None) from SDXL.
    return tuple(part for part in encoded if part is not None)
