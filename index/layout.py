"""Layout: how vectors lie in a FAISS index: in half precision, in lists that are scanned whole.

In pages, a row's list follows from its number, and a search goes through every list. In clusters,
rows that are alike share a list, and a search may go through the likeliest lists alone. Either way
the numbers of the rows are kept, and scanning all lists is exact to half precision. This file knows
neither files nor queries.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.int64]
    Rows = NDArray[np.float32]

PAGES = 16
# Rows per list to train on. 40 took 5 s for 1,000 lists of 512 numbers on one core; k-means warns
# below 39.
SAMPLE = 40
_ROUNDS = 10


def paged(width: int) -> Any:  # noqa: ANN401 - faiss has no types
    """An empty index in pages."""
    import numpy as np

    return _index(np.zeros((PAGES, width), np.float32))


def clustered(sample: Rows, lists: int) -> Any:  # noqa: ANN401
    """An empty index in clusters, which are found in a sample (n, width) of the rows to come.

    lists: how many clusters; fewer where the sample is too small
    """
    import faiss

    faiss.omp_set_num_threads(1)
    lists = max(1, min(lists, len(sample)))
    # on the sphere, since the clusters are told apart by inner products
    means = faiss.Kmeans(
        sample.shape[1], lists, niter=_ROUNDS, spherical=True, min_points_per_centroid=1
    )
    means.train(sample)
    centres: Any = means.centroids  # there are some once it is trained
    return _index(centres)


def lists_for(rows: int) -> int:
    """How many clusters so many rows are parted into: their square root, as usual."""
    return max(1, round(math.sqrt(rows)))


def add(index: Any, numbers: Numbers, rows: Rows, *, paged: bool) -> None:  # noqa: ANN401
    """Put rows (n, width) into an index that lies in pages, or else in clusters."""
    import faiss
    import numpy as np

    if not paged:
        index.add_with_ids(rows, numbers)
        return
    rows, lists = np.ascontiguousarray(rows), np.ascontiguousarray(numbers % PAGES)
    place = (faiss.swig_ptr(rows), faiss.swig_ptr(numbers), faiss.swig_ptr(lists))
    index.add_core(len(rows), *place)


def remove(index: Any, numbers: Numbers) -> None:  # noqa: ANN401
    """Take the rows of these numbers (n,) out of an index in memory."""
    import faiss

    if len(numbers):
        batch: Any = faiss.IDSelectorBatch  # its stub knows only the C++ side
        index.remove_ids(batch(numbers))


def _index(centres: Rows) -> Any:  # noqa: ANN401
    import faiss

    lists, width = centres.shape
    quantizer = faiss.IndexFlatIP(width)
    quantizer.add(centres)
    half, product = faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    index = faiss.IndexIVFScalarQuantizer(quantizer, width, lists, half, product, False)
    index.is_trained = True  # half precision has nothing to learn, and the centres are given
    return index
