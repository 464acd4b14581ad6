"""Corpus: the phrases that the text tower learns to place: captions, WordNet's words, templates.

WordNet (Princeton, its own permissive licence) comes with Debian's `wordnet-base`. Only words are
taken from it: nouns by the lexicographer's file they stand in, common verbs and adjectives, and
short definitions.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from sovgen.errors import BadDataset
from sovgen.train.captions import compose, with_article
from sovgen.train.dataset import Dataset
from sovgen.train.grounds import NAMES, draw_ground

# lexicographer files of nouns: the share of each that is taken; what can be drawn, mostly
NOUN_FILES = {
    3: 1.0, 4: 0.3, 5: 1.0, 6: 1.0, 7: 0.5, 8: 1.0, 9: 0.2, 11: 0.5, 12: 1.0, 13: 1.0,
    15: 0.3, 17: 1.0, 18: 1.0, 19: 1.0, 20: 0.7, 25: 1.0, 27: 0.7,
}  # fmt: skip
CAPTIONS_EACH = 5
LEMMAS, GLOSSES, TEMPLATES = 60_000, 25_000, 40_000
GLOSS_SHARE = 0.45
LONGEST_LEMMA = 28


def captions_of(data: Dataset, rng: np.random.Generator) -> set[str]:
    """Every name and keyword, and some whole captions of every picture."""
    phrases: set[str] = set()
    for p in data.pictures:
        phrases |= {p.caption, *p.keywords}
        for _ in range(CAPTIONS_EACH):
            ground = draw_ground(rng, white=0.5).name
            phrases.add(compose(p.caption, p.keywords, p.styles, ground, rng))
    return phrases


def words_of(wordnet: Path, rng: np.random.Generator) -> tuple[list[str], list[str]]:
    """Lemmas and short definitions. Raises BadDataset when WordNet is not there."""
    if not (wordnet / "data.noun").exists():
        raise BadDataset(
            f"There is no WordNet in {wordnet}.", "Install Debian's wordnet-base, or say --wordnet."
        )
    lemmas, glosses = set(_common(wordnet)), set()
    for number, words, gloss in _nouns(wordnet):
        if rng.random() < NOUN_FILES.get(number, 0.0):
            lemmas |= {w for w in words if len(w) < LONGEST_LEMMA}
            if 3 <= len(gloss.split()) <= 12 and rng.random() < GLOSS_SHARE:
                glosses.add(gloss)
    return _some(lemmas, LEMMAS, rng), _some(glosses, GLOSSES, rng)


def templates_of(
    lemmas: list[str], names: list[str], styles: list[str], rng: np.random.Generator
) -> set[str]:
    """Words in the sentences that prompts are made of."""
    return {_template(lemmas, names, styles, rng) for _ in range(TEMPLATES)}


def corpus(data: Dataset, wordnet: Path, seed: int) -> tuple[list[str], list[str]]:
    """Phrases of the data set, and all others; sorted, none twice."""
    rng = np.random.default_rng(seed)
    ours = captions_of(data, rng)
    lemmas, glosses = words_of(wordnet, rng)
    names = sorted({p.caption for p in data.pictures})
    styles = sorted({s for p in data.pictures for s in p.styles})
    others = {*lemmas, *glosses, *templates_of(lemmas, names, styles, rng)}
    return sorted(ours), sorted(others - ours)


def _template(
    lemmas: list[str], names: list[str], styles: list[str], rng: np.random.Generator
) -> str:
    word = _any(lemmas if rng.random() < 0.6 else names, rng)
    ground, kind = _any(list(NAMES), rng), rng.random()
    if kind < 0.3:
        return f"{with_article(word)} on a {ground} background"
    if kind < 0.5:
        return f"a {ground} {word}"
    if kind < 0.7:
        return f"{word} and {_any(names, rng)}"
    if kind < 0.85 and styles:
        return f"{_any(styles, rng)} illustration of {with_article(word)}"
    return f"a picture of {with_article(word)}"


def _nouns(wordnet: Path) -> Iterator[tuple[int, list[str], str]]:
    """Lexicographer file, words and definition of every noun synset."""
    for line in (wordnet / "data.noun").read_text(encoding="utf-8").splitlines():
        if not line.startswith(" "):
            fields = line.split()
            words = fields[4 : 4 + 2 * int(fields[3], 16) : 2]
            gloss = line.split("|")[1].split(";")[0].strip()
            yield int(fields[1]), [w.replace("_", " ").lower() for w in words], gloss


def _common(wordnet: Path) -> Iterator[str]:
    """Verbs and adjectives of at least two senses."""
    for name in ("index.verb", "index.adj"):
        for line in (wordnet / name).read_text(encoding="utf-8").splitlines():
            fields = line.split()
            if not line.startswith(" ") and fields[0].isalpha() and int(fields[2]) >= 2:
                yield fields[0]


def _some(phrases: set[str], n: int, rng: np.random.Generator) -> list[str]:
    ordered = sorted(phrases)
    return [ordered[i] for i in rng.permutation(len(ordered))[:n]]


def _any(phrases: list[str], rng: np.random.Generator) -> str:
    return phrases[int(rng.integers(len(phrases)))]
