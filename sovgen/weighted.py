"""A name with a weight after a colon, as in `clipart:0.8`; without one the weight is 1.

Knows text only.
"""

from __future__ import annotations

import re
from decimal import Decimal

_WEIGHT = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)")


def split_weight(text: str) -> tuple[str, float]:
    """The name and its weight; a colon that no number follows belongs to the name."""
    name, colon, weight = text.rpartition(":")
    if colon and name and _WEIGHT.fullmatch(weight):
        return name, float(weight)
    return text, 1.0


def with_weight(name: str, weight: float) -> str:
    """The inverse of `split_weight`, the weight always written."""
    return f"{name}:{weight:g}"


def one_spelling(text: str) -> str:
    """The text as everybody's who means the same name and weight: `clipart` of `clipart:1.0`."""
    name, weight = split_weight(text)
    if weight == 1 and split_weight(name) == (name, 1):  # else the name would lend it a weight
        return name
    return f"{name}:{Decimal(repr(weight + 0)).normalize():f}"
