"""Scan: the best of an index's rows by half precision, through all of its lists or the likeliest.

An index that was just mapped is scanned a piece at a time and each piece given back to the system,
so that a process that asks one question does not hold the whole file in memory. This file knows
nothing of the catalogue.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from index import layout

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.int64]
    Rows = NDArray[np.float32]
    Mask = NDArray[np.bool_]

PIECE = 16_000_000  # bytes
# Large enough not to stay in a processor's cache, as a library's rows would not.
_TRIAL_BYTES = 67_108_864
_TRIALS = 7


def candidates(
    index: Any,  # noqa: ANN401 - faiss has no types
    aim: Rows,
    wanted: int,
    passing: Mask | None = None,
    probes: int | None = None,
    after_piece: Callable[[], None] | None = None,
    before_piece: Callable[[Numbers], None] | None = None,
) -> tuple[Rows, Numbers]:
    """Rough scores, falling, and numbers of the best; fewer than wanted where fewer are.

    aim: unit (width,); passing: by number, whether it may be given; None for all
    probes: how many lists, the likeliest; None for all of them
    after_piece: called after each piece, if the index shall be scanned in pieces
    before_piece: called before each with the lists (n,) that it is made of
    """
    import faiss
    import numpy as np

    if wanted < 1 or not index.ntotal:
        return np.empty(0, np.float32), np.empty(0, np.int64)
    selector: Any = None
    if passing is not None:
        bitmap: Any = faiss.IDSelectorBitmap  # its stub knows only the C++ side
        selector = bitmap(np.packbits(passing, bitorder="little"))
    found = []
    for lists in _pieces(index, _lists(index, aim, probes), whole=after_piece is None):
        if before_piece is not None:
            before_piece(lists)
        found.append(_through(index, aim, wanted, selector, lists))
        if after_piece is not None:
            after_piece()
    scores, numbers = (np.concatenate(parts) for parts in zip(*found, strict=True))
    best = np.argsort(-scores, kind="stable")[:wanted]
    return scores[best], numbers[best]


def cost_ms(rows: int, width: int) -> float:
    """Milliseconds that scanning so many rows takes here: the best of trials, in proportion."""
    import numpy as np

    size = max(1, min(rows, _TRIAL_BYTES // (2 * width)))
    index = layout.paged(width)
    block = np.full((4096, width), 1 / math.sqrt(width), np.float32)
    for start in range(0, size, len(block)):
        numbers = np.arange(start, min(start + len(block), size))
        layout.add(index, numbers, block[: len(numbers)], paged=True)
    taken = []
    for _ in range(_TRIALS):
        start_s = time.perf_counter()
        candidates(index, block[0], 10)
        taken.append(time.perf_counter() - start_s)
    return 1000 * min(taken) * rows / size


def _lists(index: Any, aim: Rows, probes: int | None) -> Numbers:  # noqa: ANN401
    import numpy as np

    if probes is None or probes >= index.nlist:
        return np.arange(index.nlist)
    _, likeliest = index.quantizer.search(aim[None], probes)
    return np.sort(likeliest[0])  # in the file's order


def _pieces(index: Any, lists: Numbers, *, whole: bool) -> list[Numbers]:  # noqa: ANN401
    import numpy as np

    weight = index.ntotal * index.code_size * len(lists) / index.nlist
    count = 1 if whole else min(len(lists), math.ceil(weight / PIECE))
    return np.array_split(lists, count)


def _through(
    index: Any,  # noqa: ANN401
    aim: Rows,
    wanted: int,
    selector: Any,  # noqa: ANN401
    lists: Numbers,
) -> tuple[Rows, Numbers]:
    """Not by `search`: it would have threads read lists ahead that a filter leaves out."""
    import faiss
    import numpy as np

    aim, lists = np.ascontiguousarray(aim, np.float32), np.ascontiguousarray(lists, np.int64)
    nearness = np.zeros(len(lists), np.float32)  # of the lists; it plays no part in the scores
    scores, numbers = np.empty(wanted, np.float32), np.empty(wanted, np.int64)
    made: Any = faiss.SearchParametersIVF  # its stub knows only the C++ side
    parameters = made(nprobe=len(lists), sel=selector)
    given = [faiss.swig_ptr(a) for a in (lists, nearness, scores, numbers)]
    index.search_preassigned_c(1, faiss.swig_ptr(aim), wanted, *given, False, parameters)
    there = numbers >= 0
    return scores[there], numbers[there]
