"""Gather: the best of a few rows of an index by half precision, each fetched from where it lies.

A scan looks at the number of every row to find those few: 1 in 100 of a million takes 7 ms so, and
1 ms when it is known where they lie. This file knows nothing of files or of the catalogue.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.int64]
    Rows = NDArray[np.float32]

# Where more than one row in so many passes, a scan is as fast.
FEW = 4
_PIECE = 1_000  # rows; they stay in a processor's cache until they are scored


def extents(index: Any, memory: NDArray[np.uint8]) -> Numbers:  # noqa: ANN401 - faiss has no types
    """Where the rows and the numbers of each list lie: (lists, 4), starts and ends of both."""
    import numpy as np

    inverted, start = index.invlists, memory.ctypes.data
    found = np.zeros((index.nlist, 4), np.int64)
    for number in range(index.nlist):
        size = inverted.list_size(number)
        if size:
            rows = int(inverted.get_codes(number)) - start
            numbers = int(inverted.get_ids(number)) - start
            found[number] = rows, rows + size * index.code_size, numbers, numbers + 8 * size
    return found


def places(index: Any, memory: NDArray[np.uint8], last: int) -> Numbers:  # noqa: ANN401
    """Where the row of each number from 0 to `last` lies, (last + 1,); -1 for none."""
    import numpy as np

    found = np.full(last + 1, -1, np.int64)
    for rows, end, numbers, numbers_end in extents(index, memory):
        held = np.frombuffer(memory[numbers:numbers_end].data, np.int64)
        found[held] = np.arange(rows, end, index.code_size)
    return found


def candidates(
    index: Any,  # noqa: ANN401
    memory: NDArray[np.uint8],
    numbers: Numbers,
    lying: Numbers,
    aim: Rows,
    wanted: int,
) -> tuple[Rows, Numbers]:
    """Rough scores, falling, and numbers of the best, as `index.scan.candidates` gives them.

    memory: the file that the index is mapped from; lying (n,): where the rows of the numbers lie
    """
    import faiss
    import numpy as np

    size = index.code_size
    windows: Any = np.lib.stride_tricks.as_strided  # its stub wants no tuple of one byte
    every = windows(memory, (len(memory) - size + 1, size), (1, 1), writeable=False)
    scanner = index.get_InvertedListScanner(False, None, None)
    aim = np.ascontiguousarray(aim, np.float32)
    scanner.set_query(faiss.swig_ptr(aim))
    scanner.set_list(0, 0.0)  # which list plays no part in the scores
    scores = np.full(wanted, -np.inf, np.float32)
    best = np.full(wanted, -1, np.int64)
    order = np.argsort(lying)
    for start in range(0, len(order), _PIECE):
        piece = order[start : start + _PIECE]
        rows, names = every[lying[piece]].reshape(-1), numbers[piece]
        given = [faiss.swig_ptr(a) for a in (rows, names, scores, best)]
        scanner.scan_codes(len(piece), *given, wanted)
    falling = np.argsort(-scores, kind="stable")[: int((best >= 0).sum())]
    return scores[falling], best[falling]
