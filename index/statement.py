"""Statement: SQL as DuckDB's own parser reads it, a tree of plain values.

Who may ask what is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def nodes(tree: object) -> Iterator[dict[str, Any]]:
    """Every object of a parsed statement, however deep."""
    stack = [tree]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            yield item
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)


def reason(error: object) -> str:
    """What DuckDB complains of, on one line: without the kind of error and the quoted statement."""
    lines = str(error).strip().splitlines() or ["it cannot be read"]
    line = lines[0].rstrip(".!")
    return line.partition("Error: ")[2] or line
