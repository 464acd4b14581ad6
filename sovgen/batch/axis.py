"""Axis: what one field of a matrix takes in turn, counted before it is written out.

A text with choices in it stands there for all its prompts. Knows templates and plain values.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

from sovgen.batch.template import Template


class Axis:
    """Values one behind the other, each template among them for as many as it stands for."""

    def __init__(self, values: Sequence[object]) -> None:
        self._values = values
        self._ends = list(accumulate(v.count if isinstance(v, Template) else 1 for v in values))

    @property
    def count(self) -> int:
        """How many values there are."""
        return self._ends[-1]

    def at(self, number: int) -> object:
        """The value of that number, 0 .. count - 1."""
        place = bisect_right(self._ends, number)
        value = self._values[place]
        if not isinstance(value, Template):
            return value
        return value.at(number - (self._ends[place - 1] if place else 0))
