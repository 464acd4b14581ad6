"""Vocabulary: the words a picture may be tagged with, its kinds, and what no picture shows.

Read from data/vocabulary; the files themselves say what each list is for. Knows nothing of
encoders or pictures.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from index.bundled import data_folder

_FILES = ("tags.toml", "kinds.toml", "nonsense.toml")
_QUERIES = "queries.toml"


@dataclass(frozen=True)
class Vocabulary:
    """What pictures are compared with.

    words: every tag once, in the file's order
    members: for each general word, the places in `words` of all that it covers, itself included
    texts: for each word, the texts whose mean it is read as
    kinds: kind -> texts that describe it
    nonsense: texts that no picture shows
    """

    words: tuple[str, ...]
    members: Mapping[int, tuple[int, ...]]
    texts: tuple[tuple[str, ...], ...]
    kinds: Mapping[str, tuple[str, ...]]
    nonsense: tuple[str, ...]


@dataclass(frozen=True)
class Queries:
    """Texts that are judged against a library: those that name a thing, and those that do not.

    match, described: plain names and other words for things that can be pictured
    gibberish, subject: made-up words, and real ones about things that cannot
    absent: things that the labelled pictures do not show
    """

    match: tuple[str, ...]
    described: tuple[str, ...]
    gibberish: tuple[str, ...]
    subject: tuple[str, ...]
    absent: tuple[str, ...]


@cache
def load_vocabulary() -> Vocabulary:
    """The bundled vocabulary."""
    tags, kinds, nonsense = (_read(name) for name in _FILES)
    templates = list(tags.pop("templates"))
    words: list[str] = []
    members = dict(_groups(tags, words))
    return Vocabulary(
        tuple(words),
        members,
        tuple(_texts(word, templates) for word in words),
        {kind: tuple(texts) for kind, texts in kinds.items()},
        tuple(text for texts in nonsense.values() for text in texts),
    )


@cache
def vocabulary_digest() -> str:
    """Hex sha256 of the files; reading them is far cheaper than parsing them."""
    digest = hashlib.sha256()
    for name in (*_FILES, _QUERIES):
        digest.update((data_folder() / "vocabulary" / name).read_bytes())
    return digest.hexdigest()


@cache
def load_queries(part: str) -> Queries:
    """The judged queries; part: `fit` (floors are chosen on it) or `test` (only ever judged)."""
    return Queries(**{name: tuple(texts) for name, texts in _read(_QUERIES)[part].items()})


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads((data_folder() / "vocabulary" / name).read_text(encoding="utf-8"))


def _groups(
    tables: Mapping[str, object], words: list[str]
) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Append the words of all groups, and yield each general word with what it covers."""
    for table in tables.values():
        if not isinstance(table, dict):
            continue
        first = len(words)
        words += [table["word"]] if "word" in table else []
        words += table["tags"]
        yield from _groups(table, words)
        if "word" in table:
            yield first, tuple(range(first, len(words)))


def _texts(word: str, templates: list[str]) -> tuple[str, ...]:
    article = "an" if word[0] in "aeiou" else "a"
    return tuple(t.format(word=word, a_word=f"{article} {word}") for t in templates)
