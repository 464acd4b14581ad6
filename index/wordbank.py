"""WordBank: the vocabulary as an encoder sees it.

Some three thousand short texts are embedded once per encoder and vocabulary, and kept in the
user's cache folder; a cache that cannot be read or written costs seconds, never correctness.
Knows nothing of pictures or floors.
"""

from __future__ import annotations

import contextlib
import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from index.atomic import write_atomically
from index.errors import LibraryError
from index.hashes import cache_folder
from index.vocabulary import load_vocabulary, vocabulary_digest

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from index.encoder import Encoder

    Rows = NDArray[np.float32]

_NEAR = 10

# Banks of the encoders this process has met; each is a few megabytes.
_met: dict[str, WordBank] = {}


@dataclass(frozen=True)
class WordBank:
    """Unit float32 rows of one encoder's width.

    tags: one per word of the vocabulary; kinds: one per kind; nonsense: one per nonsense text
    """

    tags: Rows
    kinds: Rows
    nonsense: Rows

    def sense(self, texts: Rows) -> Rows:
        """How much more each text resembles names of things than nonsense: (n, width) -> (n,).

        The nearest word counts once by itself, for plain names, and once among the ten nearest,
        for descriptions that no single word covers; -3..3, comparable within one encoder only.
        """
        words, nonsense = texts @ self.tags.T, texts @ self.nonsense.T
        return np.asarray(words.max(axis=1) + _nearest(words) - _nearest(nonsense), np.float32)


def word_bank(encoder: Encoder) -> WordBank:
    """The vocabulary's rows for this encoder, from memory, from the cache, or embedded now."""
    bank = _met.get(encoder.fingerprint)
    if bank is None:
        path = (
            cache_folder() / "words" / f"{encoder.fingerprint[:16]}-{vocabulary_digest()[:16]}.npz"
        )
        bank = _recall(path, encoder.width) or _embed_and_keep(encoder, path)
        _met[encoder.fingerprint] = bank
    return bank


def _embed_and_keep(encoder: Encoder, path: Path) -> WordBank:
    vocabulary = load_vocabulary()
    bank = WordBank(
        _means(encoder, vocabulary.texts),
        _means(encoder, list(vocabulary.kinds.values())),
        np.asarray(encoder.encode_texts(vocabulary.nonsense), dtype=np.float32),
    )
    data = io.BytesIO()
    np.savez(data, tags=bank.tags, kinds=bank.kinds, nonsense=bank.nonsense)
    with contextlib.suppress(OSError, LibraryError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(path, data.getvalue())
    return bank


def _nearest(cosines: Rows) -> Rows:
    """The mean of the ten largest of each row."""
    return np.asarray(np.partition(cosines, -_NEAR, axis=1)[:, -_NEAR:].mean(axis=1), np.float32)


def _means(encoder: Encoder, groups: Sequence[Sequence[str]]) -> Rows:
    """One unit row per group of texts: the direction of their mean."""
    rows = encoder.encode_texts([text for group in groups for text in group])
    ends = np.cumsum([len(group) for group in groups])[:-1]
    means = np.stack([part.mean(axis=0) for part in np.split(rows, ends)])
    return np.asarray(means / np.linalg.norm(means, axis=1, keepdims=True), np.float32)


def _recall(path: Path, width: int) -> WordBank | None:
    try:
        with np.load(path, allow_pickle=False) as stored:
            bank = WordBank(stored["tags"], stored["kinds"], stored["nonsense"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return bank if bank.tags.shape[1:] == (width,) else None
