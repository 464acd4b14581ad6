"""Mapped: snapshot files as they lie in memory, read from disk as they are needed.

A process that asks a few questions gives each piece of a file back when it is scanned; one that
goes on asking keeps the file mapped, which spares it the opening and the reading. A file that was
replaced meanwhile stays whole for whoever has it mapped. What is read of it is first held against
its sums, once by each process. This file knows nothing of what the vectors are.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from index import blocks, gather

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FEW = 3  # questions, after which a file is kept
File = tuple[Path, int, int, int]


class Rotten(Exception):
    """A file is not what was written, though its size and its time say nothing of it."""


@dataclass
class Mapped:
    """A FAISS index over mapped memory, never to be changed: FAISS would abort.

    file: which one it is, whatever stands at its path by now
    sums: what `index.blocks` says of each of its blocks
    opened: how many times it was asked for
    """

    file: File
    index: Any
    memory: mmap.mmap
    bytes: NDArray[np.uint8]
    sums: tuple[int, ...]
    unproved: set[int]
    opened: int = 1

    @property
    def is_kept(self) -> bool:
        """Whether it is asked for so often that it is kept in memory."""
        return self.opened > FEW or not hasattr(mmap, "MADV_DONTNEED")

    @property
    def after_piece(self) -> Callable[[], None] | None:
        """What gives the memory back, unless it is kept."""
        return None if self.is_kept else lambda: self.memory.madvise(mmap.MADV_DONTNEED)

    @cached_property
    def extents(self) -> NDArray[np.int64]:
        """See `index.gather.extents`."""
        return gather.extents(self.index, self.bytes)

    def places(self, last: int) -> NDArray[np.int64]:
        """Where the row of each number from 0 to the last lies (see `index.gather`)."""
        if self._places is None:
            self._places = gather.places(self.index, self.bytes, last)
        return self._places

    _places: NDArray[np.int64] | None = None

    def prove_lists(self, lists: NDArray[np.int64]) -> None:
        """Raise Rotten unless the rows and numbers of these lists are what was written."""
        if self.unproved:
            for rows, rows_end, numbers, numbers_end in self.extents[lists]:
                self.prove(rows, rows_end)
                self.prove(numbers, numbers_end)

    def prove(self, start: int, end: int) -> None:
        """Raise Rotten unless the bytes from start to end are what was written."""
        for number in range(start // blocks.SIZE, -(-end // blocks.SIZE)):
            if number in self.unproved:
                block = self.bytes[number * blocks.SIZE : (number + 1) * blocks.SIZE]
                if blocks.total(block) != self.sums[number]:
                    raise Rotten(self.file[0])
                self.unproved.discard(number)


_last: Mapped | None = None


def opened(path: Path, sums: tuple[int, ...]) -> Mapped | None:
    """The index in a file; None when it is gone or FAISS cannot read it. Raises Rotten.

    sums: what `index.blocks` said of it when it was written
    """
    global _last
    try:
        stat = path.stat()
        file = (path, stat.st_ino, stat.st_size, stat.st_mtime_ns)
        last = _last
        if last is None or last.file != file:
            last = _last = _mapped(file, sums)
        else:
            last.opened += 1
    except (OSError, ValueError, RuntimeError):
        return None
    return last


def _mapped(file: File, sums: tuple[int, ...]) -> Mapped:
    import faiss
    import numpy as np

    faiss.omp_set_num_threads(1)
    with file[0].open("rb") as opened:
        memory = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
    data = np.frombuffer(memory, np.uint8)
    if len(sums) != -(-len(data) // blocks.SIZE):
        raise Rotten(file[0])
    made = Mapped(file, None, memory, data, sums, set(range(len(sums))))
    made.prove(0, 1)  # how long everything is
    loose: Any = faiss  # its stub does not know this reader
    reader = loose.ZeroCopyIOReader(faiss.swig_ptr(data), len(data))
    made.index = faiss.read_index(reader)
    lists = made.extents[made.extents[:, 1] > 0]
    made.prove(0, int(lists.min()) if len(lists) else len(data))
    made.prove(int(lists.max()) if len(lists) else 0, len(data))
    return made
