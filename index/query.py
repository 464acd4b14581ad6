"""Query: what a person looks for, and how its words and pictures become one direction.

Text, pictures and what should be absent are terms with weights; their unit vectors are summed and
the sum is made unit again. This file knows nothing of the catalogue or of FAISS.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from index.errors import BadQuery

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_WEIGHT = re.compile(r"::\s*([-+]?(?:\d+\.?\d*|\.\d+))(?=[\s,;]|$)[\s,;]*")


Mode = Literal["pixels", "words", "both"]


@dataclass(frozen=True)
class Query:
    """What to look for; every filter given must hold.

    text: words; `cat::2 night::-0.5` weighs its parts, a part without a weight has 1
    like: pictures to resemble: prefixes of ids, or files
    minus: words to stay away from
    where: a predicate over the columns of the view `library`
    tags: all of them; model: a name; set: the name of a set, whose pictures may be hidden ones
    since, until: local dates of adding, both inclusive
    mode: go by the look of pictures, by the words written of them, or by both
    k: how many at most, None for all; everything: also what matches badly
    exact: compare every picture, also where the library would take a shortcut (see library info)
    """

    text: str | None = None
    like: tuple[str | Path, ...] = ()
    minus: tuple[str, ...] = ()
    where: str | None = None
    tags: tuple[str, ...] = ()
    model: str | None = None
    since: date | None = None
    until: date | None = None
    k: int | None = 20
    everything: bool = False
    set: str | None = None
    mode: Mode = "both"
    exact: bool = False

    def __post_init__(self) -> None:
        if self.k is not None and self.k < 1:
            raise BadQuery(f"Cannot show {self.k} pictures.", "Ask for at least one.")
        if self.mode == "words" and self.like:
            raise BadQuery("A picture to resemble has no words.", "Ask by pixels, or by both.")


@dataclass(frozen=True)
class Term:
    """One part of a query: words, or a picture, and how much it counts."""

    weight: float
    text: str | None = None
    like: str | Path | None = None

    @property
    def label(self) -> str:
        """How the term is called where the parts of a score are shown."""
        name = self.text if self.text is not None else str(self.like)
        return name if self.weight > 0 else f"-{name}"


def terms_of(query: Query) -> list[Term]:
    """The parts of a query. Raises BadQuery when there is nothing to look for."""
    terms = list(_weighted(query.text or ""))
    terms += [Term(1.0, like=like) for like in query.like]
    terms += [Term(-1.0, text=text.strip()) for text in query.minus if text.strip()]
    if not terms:
        raise BadQuery(
            "There is nothing to look for.",
            "Give words or a picture; to go by filters alone, use list.",
        )
    return terms


def direction(terms: Sequence[Term], vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The unit vector (width,) that a query points to; vectors (n, width) are its terms'.

    Raises BadQuery when the terms cancel each other out.
    """
    import numpy as np

    weights = np.array([term.weight for term in terms], np.float32)
    total = weights @ vectors
    length = float(np.linalg.norm(total))
    if not length > 1e-6 * float(np.abs(weights).sum()):
        raise BadQuery("The query's parts cancel each other out.", "Drop one of them.")
    return np.asarray(total / length, np.float32)


def _weighted(text: str) -> Iterator[Term]:
    start = 0
    for mark in _WEIGHT.finditer(text):
        yield _part(text[start : mark.start()], float(mark[1]))
        start = mark.end()
    if text[start:].strip():
        yield _part(text[start:], 1.0)


def _part(text: str, weight: float) -> Term:
    words = " ".join(text.split())
    if not words or not math.isfinite(weight) or weight == 0:
        raise BadQuery(
            f"The weight {weight:g} belongs to no words or is zero.",
            "Write words and their weight together: cat::2 night::-0.5",
        )
    return Term(weight, text=words)
