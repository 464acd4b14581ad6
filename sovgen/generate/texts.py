"""Texts: a prompt becomes the states of the text towers.

Where the denoiser reads CLIP's token states (Stable Diffusion 1, 2 and XL) the whole language of
prompts holds: chunks, weights, skipped layers. The other families' pipelines read the plain words
by their own rules. Knows nothing of turns or batches.

A tower reads `length` tokens at once, its two markers included; a longer text is read in chunks,
each by itself, and their states stand one after another. A weight w moves a token's state from
that of the empty text, e, to e + w * (z - e), as in compel and ComfyUI.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from index.prompt import plain_words
from sovgen.generate.weights import Piece, read_weights

if TYPE_CHECKING:
    from torch import Tensor

    from sovgen.models.model import Model

# SDXL was trained on the layer before the last, without the norm that follows the last.
_XL_LAYER = 2


@dataclass(frozen=True)
class _Chunk:
    """At most `length` - 2 tokens, and the weight of each."""

    tokens: list[int]
    weights: list[float]


def reads_language(pipe: Any) -> bool:  # noqa: ANN401
    """Whether the denoiser attends to CLIP's token states, so that each can be weighted."""
    return getattr(pipe, "unet", None) is not None


def layers(pipe: Any) -> int:  # noqa: ANN401
    """How many layers the shortest CLIP tower has."""
    return min(int(tower.config.num_hidden_layers) for _, tower in _towers(pipe))


def chunk_count(pipe: Any, text: str) -> int:  # noqa: ANN401
    """How many chunks the text is read in, 1 or more."""
    tokenizer = next(tokenizer for tokenizer, _ in _towers(pipe))
    return len(_chunks(pipe, tokenizer, read_weights(text), int(tokenizer.model_max_length) - 2))


def encode(pipe: Any, text: str, clip_skip: int | None) -> tuple[Tensor, ...]:  # noqa: ANN401
    """States (1, chunks * length, width) and, for families that use it, pooled (1, width)."""
    import torch

    towers = list(_towers(pipe))
    read = [_read(pipe, *tower, text, clip_skip, xl=_is_xl(pipe)) for tower in towers]
    states = torch.cat([states for states, _ in read], dim=-1).float()
    return (states, read[-1][1]) if _is_xl(pipe) else (states,)


def encode_plainly(model: Model, text: str, negative: bool) -> tuple[Tensor, ...]:
    """States (1, tokens, width) and, where the family has it, pooled (1, width) or a mask."""
    import torch

    encoded = model.pipe.encode_prompt(
        prompt=plain_words(text),
        device=model.pipe._execution_device,
        num_images_per_prompt=1,
        **model.kind.encoding(model.configs, negative),
    )
    # The second is pooled or a mask, with absent negatives between; FLUX adds positions of zeros.
    found = [part for part in encoded if part is not None][: 2 if model.kind.second else 1]
    # In which dtype the latent is kept follows from the states in some pipelines.
    return tuple(part.to(torch.float32) if part.is_floating_point() else part for part in found)


def _is_xl(pipe: Any) -> bool:  # noqa: ANN401
    return getattr(pipe, "text_encoder_2", None) is not None


def _towers(pipe: Any) -> Iterator[tuple[Any, Any]]:  # noqa: ANN401
    """Tokenizer and tower, in the order in which their states stand side by side."""
    for end in ("", "_2"):
        tower = getattr(pipe, f"text_encoder{end}", None)
        if tower is not None:
            yield getattr(pipe, f"tokenizer{end}"), tower


def _read(
    pipe: Any,  # noqa: ANN401
    tokenizer: Any,  # noqa: ANN401
    tower: Any,  # noqa: ANN401
    text: str,
    clip_skip: int | None,
    *,
    xl: bool,
) -> tuple[Tensor, Tensor]:
    """States (1, chunks * length, width) of one tower, and what it gives first for chunk one."""
    import torch

    length = int(tokenizer.model_max_length)
    chunks = _chunks(pipe, tokenizer, read_weights(text), length - 2)
    skip = clip_skip or (_XL_LAYER if xl else None)
    outputs = [_run(tower, _ids(tokenizer, chunk.tokens, length), skip, xl) for chunk in chunks]
    if any(weight != 1 for chunk in chunks for weight in chunk.weights):
        empty, _ = _run(tower, _ids(tokenizer, [], length), skip, xl)
        states = [_weighted(s, empty, c) for (s, _), c in zip(outputs, chunks, strict=True)]
    else:
        states = [states for states, _ in outputs]
    return torch.cat(states, dim=1), outputs[0][1]


def _chunks(
    pipe: Any,  # noqa: ANN401
    tokenizer: Any,  # noqa: ANN401
    asked: Sequence[Sequence[Piece]],
    room: int,
) -> list[_Chunk]:
    chunks = []
    for pieces in asked:
        tokens = list(_tokens(pipe, tokenizer, pieces))
        chunks += [_Chunk(*map(list, zip(*part, strict=True))) for part in _parted(tokens, room)]
    return chunks or [_Chunk([], [])]


def _tokens(
    pipe: Any,  # noqa: ANN401
    tokenizer: Any,  # noqa: ANN401
    pieces: Sequence[Piece],
) -> Iterator[tuple[int, float]]:
    for piece in pieces:
        # a textual inversion of several vectors is written as several tokens
        text = pipe.maybe_convert_prompt(piece.text, tokenizer)
        ids = tokenizer(text, add_special_tokens=False, truncation=False)["input_ids"]
        yield from ((number, piece.weight) for number in ids)


def _parted(
    tokens: Sequence[tuple[int, float]], room: int
) -> Iterator[Sequence[tuple[int, float]]]:
    rest = iter(tokens)
    while part := list(islice(rest, room)):
        yield part


def _ids(tokenizer: Any, tokens: Sequence[int], length: int) -> list[int]:  # noqa: ANN401
    marked = [tokenizer.bos_token_id, *tokens, tokenizer.eos_token_id]
    return marked + [tokenizer.pad_token_id] * (length - len(marked))


def _run(tower: Any, ids: Sequence[int], skip: int | None, xl: bool) -> tuple[Tensor, Tensor]:  # noqa: ANN401
    """The states of the layer that is asked for, and what the tower gives first.

    diffusers' own `clip_skip` looks for the norm where transformers 5 no longer has it.
    """
    import torch

    output = tower(torch.tensor([ids], device=tower.device), output_hidden_states=skip is not None)
    if skip is None:
        return output[0], output[0]
    states = output.hidden_states[-skip]
    if not xl:
        states = getattr(tower, "text_model", tower).final_layer_norm(states)
    return states, output[0]


def _weighted(states: Tensor, empty: Tensor, chunk: _Chunk) -> Tensor:
    """Weights on the tokens; markers and padding stay as they are, and so does a weight of 1."""
    import torch

    after = states.shape[1] - 1 - len(chunk.weights)
    weights = states.new_tensor([1.0, *chunk.weights, *[1.0] * after]).view(1, -1, 1)
    return torch.where(weights == 1, states, empty + weights * (states - empty))
