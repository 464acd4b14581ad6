"""Pillow's warnings, held back while files are read.

What a warning says about a file is either said by an error or of no interest to the person. The
filters of `warnings` belong to the whole process: two threads that saved and restored them by
turns would leave them changed for good, so the first thread in sets them and the last one out
restores them.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

_lock = threading.Lock()
_readers = 0
_filters = ExitStack()


@contextmanager
def pillow_held_back() -> Iterator[None]:
    """No warning raised inside Pillow is shown within; other modules' warnings are."""
    _enter()
    try:
        yield
    finally:
        _leave()


def _enter() -> None:
    global _readers
    with _lock:
        _readers += 1
        if _readers == 1:
            _filters.enter_context(warnings.catch_warnings())
            warnings.filterwarnings("ignore", module=r"PIL\.")


def _leave() -> None:
    global _readers
    with _lock:
        _readers -= 1
        if _readers == 0:
            _filters.close()
