"""Conditioning: prompts become the text states that steer the denoiser.

Shapes: states (n, tokens, width); pooled (n, width) and mask (n, tokens), for families that use
them. Each text is encoded alone and remembered, so its states are the same bits in every batch.
Where a prompt and its negative differ in chunks, the states of both are repeated until they are of
one length: attention to every state twice is attention to each once. Knows nothing of seeds or
pixels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from index.prompt import plain_words
from sovgen.generate.texts import chunk_count, encode, encode_plainly, reads_language
from sovgen.generate.turns import at_step
from sovgen.models.quiet import libraries_held_back

if TYPE_CHECKING:
    from torch import Tensor

    from sovgen.models.model import Model

_REMEMBERED = 256
_NONE = (None, None)


@dataclass(frozen=True)
class Conditioning:
    """What steers n pictures; the negative half is None when there is no guidance.

    later: what takes its place from a step on, where parts of the prompts take turns
    mask: 1 where a text has a token, 0 where it was filled up
    """

    states: Tensor
    negative_states: Tensor | None
    pooled: Tensor | None
    negative_pooled: Tensor | None
    later: Mapping[int, Conditioning] = field(default_factory=dict)
    mask: Tensor | None = None
    negative_mask: Tensor | None = None


def condition(
    model: Model,
    prompts: Sequence[str],
    negatives: Sequence[str],
    guided: bool,
    *,
    steps: int = 1,
    clip_skip: int | None = None,
) -> Conditioning:
    """Encode n prompts and, when guidance is on, n negatives.

    steps: how many there are to take turns in; clip_skip: as in Recipe
    """
    texts = [(prompts, negatives)]
    if reads_language(model.pipe):
        texts = [
            ([at_step(p, i, steps) for p in prompts], [at_step(n, i, steps) for n in negatives])
            for i in range(steps)
        ]
    first = _condition(model, *texts[0], guided, clip_skip)
    later = {
        i: _condition(model, *now, guided, clip_skip)
        for i, (before, now) in enumerate(zip(texts, texts[1:], strict=False), start=1)
        if now != before
    }
    return replace(first, later=later)


def lengths(model: Model, prompt: str, negative: str, guided: bool, steps: int) -> tuple[int, ...]:
    """Chunks of states in each step, or in every one where all have the same.

    Pictures that differ in it are not drawn together: repeating is exact but for rounding, and in
    bfloat16 the rounding shows.
    """
    if not reads_language(model.pipe):
        return (1,)
    both = (prompt, negative) if guided else (prompt,)
    texts = [tuple(at_step(text, step, steps) for text in both) for step in range(steps)]
    with libraries_held_back():
        counts = {text: chunk_count(model.pipe, text) for text in {t for now in texts for t in now}}
    of_steps = tuple(math.lcm(*(counts[text] for text in now)) for now in texts)
    return of_steps if len(set(of_steps)) > 1 else of_steps[:1]


def dropped_words(model: Model, text: str) -> list[str]:
    """The words that no text tower of the model reads, since the text is too long for them.

    None where a long text is read in chunks.
    """
    if reads_language(model.pipe):
        return []
    text = plain_words(text)
    kept = max(
        _words_read(getattr(model.pipe, tower.replace("text_encoder", "tokenizer")), text, limit)
        for tower, limit in model.tokens.items()
    )
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


def _condition(
    model: Model,
    prompts: Sequence[str],
    negatives: Sequence[str],
    guided: bool,
    clip_skip: int | None,
) -> Conditioning:
    rows = [_encode(model, text, clip_skip, negative=False) for text in prompts]
    if guided:
        rows += [_encode(model, text, clip_skip, negative=True) for text in negatives]
    states, second = _of_one_length([row[0] for row in rows]), _second(rows)
    n = len(prompts)
    halves = (
        None if second is None else second[:n],
        second[n:] if guided and second is not None else None,
    )
    pooled, mask = (_NONE, halves) if model.kind.second == "mask" else (halves, _NONE)
    return Conditioning(
        states[:n],
        states[n:] if guided else None,
        *pooled,
        mask=mask[0],
        negative_mask=mask[1],
    )


def _of_one_length(states: Sequence[Tensor]) -> Tensor:
    """Rows (1, tokens, width) of several lengths as (n, tokens, width), by repeating."""
    import torch

    longest = math.lcm(*(row.shape[1] for row in states))
    return torch.cat([row.repeat(1, longest // row.shape[1], 1) for row in states])


def _second(rows: Sequence[tuple[Tensor, ...]]) -> Tensor | None:
    import torch

    return torch.cat([row[1] for row in rows]) if len(rows[0]) > 1 else None


def _encode(
    model: Model, text: str, clip_skip: int | None, *, negative: bool
) -> tuple[Tensor, ...]:
    """States (1, tokens, width) and, for families that have it, pooled (1, width) or a mask."""
    import torch

    key = (text, clip_skip, negative)
    found = model.texts.get(key)
    if found is None:
        with torch.inference_mode(), libraries_held_back():
            if reads_language(model.pipe):
                found = encode(model.pipe, text, clip_skip)
            else:
                found = encode_plainly(model, text, negative)
        while len(model.texts) >= _REMEMBERED:
            model.texts.pop(next(iter(model.texts)))
        model.texts[key] = found
    if negative and not text and model.pipe.config.get("force_zeros_for_empty_prompt"):
        return tuple(torch.zeros_like(part) for part in found)
    return found
