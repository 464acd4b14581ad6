"""Weights: how much each part of a prompt counts, and where a new chunk begins.

The grammar is in `index.prompt`; the rules are those of AUTOMATIC1111's `parse_prompt_attention`
(modules/prompt_parser.py). Knows nothing of tokens, nor of turns, which are taken before.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from index.prompt import NUMBER

_BY_BRACKET = {"(": 1.1, "[": 1 / 1.1}
_CLOSED_BY = {")": "(", "]": "["}
_TOKEN = re.compile(
    rf"\\(?P<escaped>[()\[\]\\|])|:\s*(?P<weight>{NUMBER})\s*\)|(?P<break>\bBREAK\b)"
    r"|(?P<bracket>[()\[\]])|[^\\()\[\]:B]+|.",
    re.DOTALL,
)


@dataclass(frozen=True)
class Piece:
    """Words, and how many times as much they count."""

    text: str
    weight: float = 1.0


def read_weights(prompt: str) -> list[list[Piece]]:
    """The pieces of each chunk; a prompt without brackets is one piece of weight 1."""
    chunks: list[list[Piece]] = [[]]
    opened: list[tuple[str, int, int]] = []  # the bracket, and the chunk and place after it
    for token in _TOKEN.finditer(prompt):
        factor = _factor(token, opened[-1][0] if opened else "")
        if factor is not None:
            _multiply(chunks, opened.pop(), factor)
        elif token["break"]:
            chunks.append([])
        elif token["bracket"] in _BY_BRACKET:
            opened.append((token["bracket"], len(chunks) - 1, len(chunks[-1])))
        else:
            chunks[-1].append(Piece(token["escaped"] or token[0]))
    while opened:
        _multiply(chunks, opened[-1], _BY_BRACKET[opened.pop()[0]])
    return [list(_joined(chunk)) for chunk in chunks]


def _factor(token: re.Match[str], innermost: str) -> float | None:
    """By what the innermost bracket multiplies when the token closes it."""
    if token["weight"] is not None:
        return float(token["weight"]) if innermost == "(" else None
    closes = _CLOSED_BY.get(token["bracket"] or "")
    return _BY_BRACKET[closes] if closes and closes == innermost else None


def _multiply(chunks: list[list[Piece]], since: tuple[str, int, int], factor: float) -> None:
    _, first, begin = since
    for number in range(first, len(chunks)):
        for place in range(begin if number == first else 0, len(chunks[number])):
            piece = chunks[number][place]
            chunks[number][place] = replace(piece, weight=piece.weight * factor)


def _joined(chunk: Sequence[Piece]) -> Iterator[Piece]:
    """Neighbours of one weight as one."""
    text, weight = "", 1.0
    for piece in chunk:
        if text and piece.weight != weight:
            yield Piece(text, weight)
            text = ""
        text, weight = text + piece.text, piece.weight
    if text:
        yield Piece(text, weight)
