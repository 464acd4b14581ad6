"""Mapped: snapshot files as they lie in memory, read from disk as they are needed.

A process that asks a few questions gives each piece of a file back when it is scanned; one that
goes on asking keeps the file mapped, which spares it the opening and the reading. A file that was
replaced meanwhile stays whole for whoever has it mapped. This file knows nothing of what the
vectors are.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FEW = 3  # questions, after which a file is kept
File = tuple[Path, int, int, int]


@dataclass
class Mapped:
    """A FAISS index over mapped memory, never to be changed: FAISS would abort.

    file: which one it is, whatever stands at its path by now
    opened: how many times it was asked for
    """

    file: File
    index: Any
    memory: mmap.mmap
    bytes: NDArray[np.uint8]
    opened: int = 1

    @property
    def after_piece(self) -> Callable[[], None] | None:
        """What gives the memory back, unless it is kept."""
        if self.opened > FEW or not hasattr(mmap, "MADV_DONTNEED"):
            return None
        return lambda: self.memory.madvise(mmap.MADV_DONTNEED)


_last: Mapped | None = None


def opened(path: Path) -> Mapped | None:
    """The index in a file whose bytes are proved; None when it is gone or FAISS cannot read it."""
    global _last
    try:
        stat = path.stat()
        file = (path, stat.st_ino, stat.st_size, stat.st_mtime_ns)
        last = _last
        if last is None or last.file != file:
            last = _last = _mapped(file)
        else:
            last.opened += 1
    except (OSError, ValueError, RuntimeError):
        return None
    return last


def _mapped(file: File) -> Mapped:
    import faiss
    import numpy as np

    faiss.omp_set_num_threads(1)
    with file[0].open("rb") as opened:
        memory = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
    data = np.frombuffer(memory, np.uint8)
    loose: Any = faiss  # its stub does not know this reader
    reader = loose.ZeroCopyIOReader(faiss.swig_ptr(data), len(data))
    return Mapped(file, faiss.read_index(reader), memory, data)
