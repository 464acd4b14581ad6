"""Blocks: sums over the pieces of a file, by which rot is seen in what is read of it.

A checksum of all the file proves it when it comes; it is remembered, since it takes a second for a
gigabyte. What rots later keeps size and time. These sums take a tenth of that, and only of what is
read. This file knows nothing of what the bytes are.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIZE = 1 << 20
_WORD = 8


def sums_of(path: Path) -> tuple[int, ...]:
    """Of each block of a file; raises OSError."""
    import numpy as np

    found = []
    with path.open("rb") as file:
        while block := file.read(SIZE):
            found.append(total(np.frombuffer(block, np.uint8)))
    return tuple(found)


def total(block: NDArray[np.uint8]) -> int:
    """The sum of its words of eight bytes modulo 2**64: no single changed word leaves it alike."""
    import numpy as np

    rest = len(block) % _WORD
    words = block[: len(block) - rest].view(np.uint64)
    last = int.from_bytes(block[len(block) - rest :].tobytes(), "little")
    return (int(words.sum(dtype=np.uint64)) + last) % 2**64
