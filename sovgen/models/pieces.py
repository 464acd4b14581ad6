"""Pieces: a T5's vocabulary read from `spiece.model`, where a folder has no `tokenizer.json`.

PixArt-Sigma is published so. transformers reads such a file only with two more libraries; what is
needed of it is a list of pieces and a table of characters, in protobuf's plain encoding:
sentencepiece_model.proto, https://github.com/google/sentencepiece. Knows nothing of models.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sovgen.errors import ModelDamaged

_PIECES, _NORMALISER = 1, 3
_TEXT, _SCORE = 1, 2
_CHARACTERS = 2


def has_only_pieces(folder: Path) -> bool:
    """Whether the tokenizer there has to be read here."""
    return (folder / "spiece.model").is_file() and not (folder / "tokenizer.json").is_file()


def t5_tokenizer(folder: Path, longest: int) -> Any:  # noqa: ANN401
    """transformers' tokenizer of these pieces. Raises ModelDamaged when they cannot be read."""
    from transformers import T5Tokenizer

    vocabulary, characters = read_pieces(folder / "spiece.model")
    return T5Tokenizer(
        vocab=vocabulary, _spm_precompiled_charsmap=characters, model_max_length=longest
    )


def read_pieces(path: Path) -> tuple[list[tuple[str, float]], bytes | None]:
    """The pieces with their scores, in order, and the table that normalises characters."""
    vocabulary: list[tuple[str, float]] = []
    characters = None
    try:
        for number, value in _fields(path.read_bytes()):
            if number == _PIECES:
                piece = dict(_fields(value))
                [score] = struct.unpack("<f", piece.get(_SCORE, bytes(4)))
                vocabulary.append((piece[_TEXT].decode("utf-8"), score))
            elif number == _NORMALISER:
                characters = dict(_fields(value)).get(_CHARACTERS)
    except (KeyError, IndexError, ValueError, struct.error) as error:
        raise ModelDamaged(
            f"{path.parent.name}/{path.name} cannot be read.", "Get the folder again."
        ) from error
    return vocabulary, characters or None


def _fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Number and bytes of every field; those of a varint are not needed and left empty."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == 0:
            _, at = _varint(data, at)
            yield key >> 3, b""
            continue
        size, at = (_varint(data, at)) if kind == 2 else ({1: 8, 5: 4}[kind], at)
        yield key >> 3, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
