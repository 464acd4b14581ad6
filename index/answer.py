"""Answer: what a search found, and whether it is any good."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from index.entry import Entry


@dataclass(frozen=True)
class Hit:
    """A picture and how well it fits.

    score: cosine with the query's direction, -1..1; parts: cosine with each term by its label
    """

    entry: Entry
    score: float
    parts: Mapping[str, float]


@dataclass(frozen=True)
class Answer:
    """The hits, best first.

    floor: the cosine with its words that a picture must reach, as this encoder sees them;
        -1 when the query holds a picture: there is always something that resembles it most
    matched: whether any picture reaches it; without a match there are hits only when asked for
    """

    hits: list[Hit]
    floor: float
    matched: bool
