"""Answer: what a search found, and whether it is any good."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from index.entry import Entry
from index.query import Mode


@dataclass(frozen=True)
class Hit:
    """A picture and how well it fits.

    score: what the hits are ordered by; see Answer.mode
    parts: cosine with each term by its label
    shares: what each term adds to the cosine with the direction of them all, by its label
    words: each word of the query that the picture has -> the picture's word that meets it
    words_score: of those words, by weight, rarity and closeness
    looks_rank, words_rank: its places by the look and by the words, 1 for the best, 0 for none
    looks_share, words_share: what the two add to the score, which is their sum
    """

    entry: Entry
    score: float
    parts: Mapping[str, float]
    shares: Mapping[str, float]
    words: Mapping[str, str]
    words_score: float
    looks_rank: int
    words_rank: int
    looks_share: float
    words_share: float


@dataclass(frozen=True)
class Answer:
    """The hits, best first.

    floor: the cosine with its words that a picture must reach, as this encoder sees them;
        -1 when the query holds a picture: there is always something that resembles it most
    matched: whether any picture reaches it, or has most of the words that are looked for; without
        a match there are hits only when asked for
    mode: how the hits are ordered: `pixels` by cosine with the query's direction, -1..1; `words` by
        the words' score; `both` by their ranks in the two, 0..1. A query for both whose words no
        picture has is answered by `pixels`
    """

    hits: list[Hit]
    floor: float
    matched: bool
    mode: Mode
