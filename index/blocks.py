"""Blocks: sums over the pieces of a file, by which rot is seen in what is read of it.

They prove a file when it comes, which is remembered, and each piece of it when it is read: what
rots later keeps size and time. For a gigabyte sha256 takes a second, these take a fraction of it.
This file knows nothing of what the bytes are.
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
