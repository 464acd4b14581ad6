"""Questions: what every side is asked about vectors, and the true answers.

Texts of `tests.benchmarks.likenesses`, without a filter and with one that passes 0.1, 1, 10 and
100 in 100 rows. The truth is brute force in float32.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.benchmarks import likenesses
from tests.benchmarks.likenesses import WIDTH, Rows

K = 10
COUNT = 40
EVERY = 1000
BOUNDS = (1, 10, 100, EVERY)  # steps below these pass, of 1,000 different steps
UNFILTERED = "unfiltered"
_BLOCK = 50_000
_WARMING = 3
# A slow side is asked fewer questions: no more once it took so many seconds, but for the first few.
_BUDGET_S, _FEWEST = 8.0, 10

Numbers = NDArray[np.int64]
Ask = Callable[[NDArray[np.float32]], Sequence[int]]


def steps_of(numbers: Numbers) -> Numbers:
    """The steps, 0 .. 999, of the pictures with these numbers, 1 .. n."""
    return np.asarray(numbers * 7919 % EVERY)


def blocks(path: Path) -> Iterator[tuple[int, Rows]]:
    """The rows of a file of likenesses, read and not mapped, each block with its first number."""
    with path.open("rb") as file:
        np.lib.format.read_magic(file)
        count = np.lib.format.read_array_header_1_0(file)[0][0]
        for start in range(0, count, _BLOCK):
            size = min(_BLOCK, count - start)
            yield start + 1, np.fromfile(file, np.float32, size * WIDTH).reshape(size, WIDTH)


def truth(path: Path) -> Mapping[str, Numbers]:
    """The best K numbers, (COUNT, K), for each bound; computed once per file."""
    kept = path.with_suffix(".truth.npz")
    if not kept.exists():
        count = int(path.stem.split("-")[1])
        best = {bound: (np.empty((COUNT, 0)), np.empty((COUNT, 0), np.int64)) for bound in BOUNDS}
        aims = likenesses.texts(COUNT, count)
        for first, rows in blocks(path):
            numbers = np.arange(first, first + len(rows))
            scores = aims @ rows.T
            for bound, so_far in best.items():
                inside = steps_of(numbers) < bound
                best[bound] = _better(so_far, scores[:, inside], numbers[inside])
        np.savez(kept, **{str(bound): numbers for bound, (_, numbers) in best.items()})
    return dict(np.load(kept))


def asked(ask: Ask, count: int, true: Numbers) -> dict[str, float]:
    """p50 and p95 in milliseconds, the processor's p50, and recall, of a warm side."""
    aims = likenesses.texts(COUNT, count)
    for aim in aims[:_WARMING]:
        ask(aim)
    taken, worked, hits, wanted = [], [], 0, 0
    for aim, best in zip(aims, true, strict=True):
        start, work = time.perf_counter(), time.process_time()
        found = ask(aim)
        taken.append(1000 * (time.perf_counter() - start))
        worked.append(1000 * (time.process_time() - work))
        hits += len(np.intersect1d(found, best[best > 0]))
        wanted += int((best > 0).sum())
        if is_enough(taken):
            break
    recall = hits / max(wanted, 1)
    return {**percentiles(taken), "cpu": statistics.median(worked), "recall": recall}


def is_enough(taken: Sequence[float]) -> bool:
    """Whether a side took so many milliseconds that it need not be asked more."""
    return len(taken) >= _FEWEST and sum(taken) > 1000 * _BUDGET_S


def percentiles(taken: Sequence[float]) -> dict[str, float]:
    """Of times in any unit."""
    return {"p50": statistics.median(taken), "p95": float(np.percentile(taken, 95))}


def _better(
    so_far: tuple[NDArray[np.float64], Numbers], scores: Rows, numbers: Numbers
) -> tuple[NDArray[np.float64], Numbers]:
    together = np.concatenate([so_far[0], scores], axis=1)
    names = np.concatenate([so_far[1], np.broadcast_to(numbers, scores.shape)], axis=1)
    best = np.argsort(-together, axis=1)[:, :K]
    return np.take_along_axis(together, best, 1), np.take_along_axis(names, best, 1)
