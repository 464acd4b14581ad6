"""NumpyVectors: the exact twin of search over vectors, in float64 and without any cleverness."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from index.nearest import Near


class NumpyVectors:
    """Rows by number; what FAISS and DuckDB give together must be what this gives."""

    def __init__(self) -> None:
        self.rows: dict[int, NDArray[np.float32]] = {}

    def nearest(
        self, aim: NDArray[np.float32], k: int | None, allowed: Collection[int]
    ) -> list[tuple[int, float]]:
        numbers = sorted(set(allowed) & set(self.rows))
        if not numbers:
            return []
        rows = np.stack([self.rows[number] for number in numbers]).astype(np.float64)
        scores = zip(numbers, (rows @ aim.astype(np.float64)).tolist(), strict=True)
        return sorted(scores, key=lambda pair: (-pair[1], pair[0]))[:k]

    def check(
        self, near: Near, aim: NDArray[np.float32], k: int | None, allowed: Collection[int]
    ) -> None:
        """Fail unless `near` is right, up to the last bits of float32, where ties may turn."""
        expected = self.nearest(aim, k, allowed)
        everyone = dict(self.nearest(aim, None, allowed))
        assert len(set(near.numbers.tolist())) == len(near.numbers) == len(expected)
        for number, score, (_, best) in zip(near.numbers, near.scores, expected, strict=True):
            assert abs(score - best) < 2e-6
            assert abs(everyone[int(number)] - score) < 2e-6


def recall(pairs: Sequence[tuple[Near, Sequence[tuple[int, float]]]]) -> float:
    """The share of what the twin gives that was found; of scores that tie, either counts."""
    found = wanted = 0
    for near, expected in pairs:
        last = expected[-1][1] - 2e-6
        found += sum(score >= last for score in near.scores)
        wanted += len(expected)
    return found / wanted
