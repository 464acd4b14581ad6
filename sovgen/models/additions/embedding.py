"""Textual inversion: words of one's own, each a few rows beside those of the text towers.

The word is the file's name, and prompts use it by that. Reads A1111's `emb_params`, diffusers'
`{"<token>": rows}` and SDXL's `clip_l` and `clip_g`. Source: Gal et al. 2022, arXiv:2208.01618.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from sovgen.errors import ModelUnsupported
from sovgen.models.additions.addition import Addition
from sovgen.models.additions.families import refuse_other_family, refuse_without_unet
from sovgen.models.towers import TOWERS
from sovgen.models.weights import read_header

if TYPE_CHECKING:
    from torch import Tensor

    from sovgen.models.model import Model

# SDXL's towers by the names that its embeddings have for them.
_TOWER_OF = {"clip_l": "text_encoder", "clip_g": "text_encoder_2"}


def check_embedding(model: Model, embedding: Addition) -> None:
    """Raise ModelUnsupported unless its rows are as wide as the model's text towers."""
    refuse_without_unet("a textual inversion", [embedding.name], model)
    shapes = {n: t.shape for n, t in read_header(embedding.files[0]).tensors.items()}
    double = getattr(model.pipe, "text_encoder_2", None) is not None
    if double != (set(shapes) == set(_TOWER_OF)):
        needs = "clip_l and clip_g, one for each of its text towers" if double else "one tensor"
        raise ModelUnsupported(
            f"{embedding.name} holds {', '.join(shapes)}; {model.family} needs {needs}.",
            f"Choose a textual inversion made for {model.family}.",
        )
    for name, shape in shapes.items():
        _refuse_width(model, embedding, name, shape[-1])


def add_embeddings(model: Model, embeddings: Sequence[Addition]) -> Callable[[], None]:
    """Let prompts use them; gives back what takes them off again, to the bit.

    The towers get a larger table of words and the tokenizers are copies: what the model had is
    put by.
    """
    pipe = model.pipe
    names = [name for name in TOWERS if getattr(pipe, name, None) is not None]
    tables = {name: getattr(pipe, name).get_input_embeddings() for name in names}
    tokenizers = {_tokenizer(name): getattr(pipe, _tokenizer(name)) for name in names}

    def remove() -> None:
        for name, table in tables.items():
            tower = getattr(pipe, name)
            tower.set_input_embeddings(table)
            tower.config.vocab_size = table.num_embeddings
        for name, tokenizer in tokenizers.items():
            setattr(pipe, name, tokenizer)

    for name, tokenizer in tokenizers.items():
        setattr(pipe, name, copy.deepcopy(tokenizer))
    try:
        for embedding in embeddings:
            _add(model, embedding)
    except BaseException:
        remove()
        raise
    return remove


def _add(model: Model, embedding: Addition) -> None:
    from safetensors.torch import load_file

    for name, rows in load_file(embedding.files[0]).items():
        tower = _TOWER_OF.get(name, "text_encoder")
        own = getattr(model.pipe, tower)
        try:
            model.pipe.load_textual_inversion(
                _table(rows).to(own.device, own.dtype),
                token=embedding.name,
                text_encoder=own,
                tokenizer=getattr(model.pipe, _tokenizer(tower)),
            )
        except ValueError as error:
            raise ModelUnsupported(
                f"{embedding.name} cannot be a word of {model.name}: {error}.",
                "Give the file another name.",
            ) from error
        own.requires_grad_(False)


def _table(rows: Tensor) -> Tensor:
    """Rows (n, width), however many were stored."""
    return rows.reshape(-1, rows.shape[-1])


def _tokenizer(tower: str) -> str:
    return tower.replace("text_encoder", "tokenizer")


def _refuse_width(model: Model, embedding: Addition, name: str, width: int) -> None:
    tower = getattr(model.pipe, _TOWER_OF.get(name, "text_encoder"))
    own = int(tower.get_input_embeddings().embedding_dim)
    if name not in _TOWER_OF:
        refuse_other_family("a textual inversion", embedding.name, width, model)
    if width != own:
        raise ModelUnsupported(
            f"The rows of {name} in {embedding.name} are {width} wide; the text tower of "
            f"{model.name} is {own} wide.",
            f"Choose a textual inversion made for {model.family}.",
        )
