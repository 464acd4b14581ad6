"""Probes: how many clusters a search has to go through, found by trying.

The aims that are tried are rows of the index itself, as pictures that look for their like; and
what such rows have beyond the mean of all, blurred, as texts do: they lie outside the cone in which
an encoder's pictures lie, and an index that is good for pictures need not be good for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from index import scan

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Rows = NDArray[np.float32]

DEPTH = 10
ENOUGH = 0.993  # what both kinds must reach in trying, so that 0.99 is kept elsewhere
FEWEST = 48
_TRIED = 80
_BLUR = 0.5


def found(index: Any, sample: Rows) -> tuple[int, float]:  # noqa: ANN401 - faiss has no types
    """The fewest clusters that are enough, and recall@10 with them; all of them where none are.

    sample (n, width): rows of the index
    """
    aims = _aims(sample)
    best = [[scan.candidates(index, a, DEPTH)[1] for a in group] for group in aims]
    probes = max(FEWEST, index.nlist // 16)
    while probes < index.nlist:
        recall = min(_recall(index, *pair, probes) for pair in zip(aims, best, strict=True))
        if recall >= ENOUGH:
            return probes, recall
        probes += probes // 4
    return int(index.nlist), 1.0


def _aims(sample: Rows) -> tuple[Rows, Rows]:
    """Like pictures, and like texts; each (m, width)."""
    import numpy as np

    rng = np.random.default_rng(0)
    rows = sample[rng.choice(len(sample), min(_TRIED, len(sample)), replace=False)]
    noise = rng.standard_normal(rows.shape, np.float32)
    beyond = _unit(rows - sample.mean(axis=0)) + _BLUR * _unit(noise)
    return rows, _unit(beyond)


def _unit(rows: Rows) -> Rows:
    import numpy as np

    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(lengths, 1e-9), np.float32)


def _recall(index: Any, aims: Rows, best: list[NDArray[np.int64]], probes: int) -> float:  # noqa: ANN401
    import numpy as np

    hits = sum(
        len(np.intersect1d(scan.candidates(index, aim, DEPTH, probes=probes)[1], true))
        for aim, true in zip(aims, best, strict=True)
    )
    return hits / sum(len(true) for true in best)
