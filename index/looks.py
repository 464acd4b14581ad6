"""Looks: much is read of the catalogue in short turns, so that nobody who writes waits for it all.

A look asks one question, or hands on more looks, which are taken next. Between two turns others
may have written: every look has to be true by itself. This file knows no table.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

    from index.store import Store

    Look = Callable[[duckdb.DuckDBPyConnection], Sequence["Look"]]

# Opening takes 20 ms: in a small library all looks are one turn, in a large one each is its own.
_TURN_S = 0.1


def take(store: Store, looks: Iterable[Look]) -> None:
    """Take these looks and all that they hand on, in order. Raises what `Store.reading` raises."""
    waiting = deque(looks)
    while waiting:
        with store.reading() as connection:
            end = time.monotonic() + _TURN_S
            while waiting:
                waiting.extendleft(reversed(waiting.popleft()(connection)))
                if time.monotonic() >= end:
                    break
