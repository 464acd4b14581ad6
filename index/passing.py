"""Passing: which pictures a query lets through, told by the shorter list.

Filters name those that pass. Without filters, deletion and hiding name the few that do not, so that
nobody lists a million numbers to leave out ten. This file knows nothing of why.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.int64]
    Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Passing:
    """These pictures, or all others.

    numbers (n,): each once, in any order; others: whether all but these pass
    """

    numbers: Numbers
    others: bool = False

    def mask(self, numbers: Numbers) -> Mask:
        """Which of the numbers (m,) pass."""
        import numpy as np

        return np.isin(numbers, self.numbers, invert=self.others)

    def bits(self, last: int) -> Mask:
        """Whether each number from 0 to `last` passes, (last + 1,)."""
        import numpy as np

        bits = np.full(last + 1, self.others)
        bits[self.numbers[self.numbers <= last]] = not self.others
        return bits

    def without(self, gone: Numbers) -> Passing:
        """But for these (n,)."""
        import numpy as np

        if not len(gone):
            return self
        if self.others:
            return Passing(np.union1d(self.numbers, gone), others=True)
        return Passing(self.numbers[np.isin(self.numbers, gone, invert=True)])

    def most(self, count: int) -> int:
        """How many of `count` pictures can pass at most."""
        return count if self.others else min(len(self.numbers), count)

    def among(self, total: int) -> int:
        """How many pass where there are so many pictures, these among them."""
        return total - len(self.numbers) if self.others else len(self.numbers)


def every() -> Passing:
    """Every picture."""
    import numpy as np

    return Passing(np.empty(0, np.int64), others=True)
