"""Tags and kinds: what an encoder is sure that a picture shows.

Cosines with all words go through one softmax, so that a tag must stand out among all others. A
general word (`bird`) gets the probability of everything it covers: the encoder may be sure of
the kind of thing and not of which. Precision first: few tags rather than wrong ones. Knows
nothing of files and catalogues.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from index.calibration import calibration_of
from index.vocabulary import load_vocabulary
from index.wordbank import word_bank

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from index.encoder import Encoder

MOST_TAGS = 8
UNKNOWN = "unknown"


def tags_for(embeddings: NDArray[np.float32], encoder: Encoder) -> list[list[tuple[str, float]]]:
    """For each picture its tags with their probability, the surest first; often none.

    embeddings: (n, width) unit rows of this encoder
    """
    floors = calibration_of(encoder)
    words = load_vocabulary().words
    chances = tag_chances(_cosines(embeddings, word_bank(encoder).tags), floors.temperature)
    return [_reached(words, row, floors.tag_floor)[:MOST_TAGS] for row in chances]


def kinds_for(embeddings: NDArray[np.float32], encoder: Encoder) -> list[tuple[str, float]]:
    """For each picture its kind and how sure that is; `unknown` where it is not sure enough."""
    floors = calibration_of(encoder)
    kinds = list(load_vocabulary().kinds)
    chances = softmax(_cosines(embeddings, word_bank(encoder).kinds), floors.temperature)
    sure = chances.max(axis=1) >= floors.kind_floor
    names = [
        kinds[i] if known else UNKNOWN for i, known in zip(chances.argmax(1), sure, strict=True)
    ]
    return [(name, float(row.max())) for name, row in zip(names, chances, strict=True)]


def tag_chances(cosines: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    """Probabilities (n, words) from cosines (n, words); a general word sums what it covers."""
    single = softmax(cosines, temperature)
    chances = single.copy()
    for word, members in load_vocabulary().members.items():
        chances[:, word] = single[:, list(members)].sum(axis=1)
    return chances


def _cosines(embeddings: NDArray[np.float32], rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Inner products (n, words), by this thread alone.

    The BLAS behind `@` would call a team of threads for so little, and they would take the cores
    from a denoiser that is drawing the next picture: 13 ms of processor time instead of 1.
    """
    return np.asarray(np.einsum("nd,wd->nw", embeddings, rows), np.float32)


def softmax(cosines: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    """Each row as probabilities; the temperature multiplies."""
    logits = cosines * temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), dtype=np.float32)


def _reached(
    words: tuple[str, ...], chances: NDArray[np.float32], floor: float
) -> list[tuple[str, float]]:
    order = np.argsort(-chances, kind="stable")
    return [(words[i], float(chances[i])) for i in order[: np.sum(chances >= floor)]]
