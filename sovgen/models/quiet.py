"""The chatter of diffusers and transformers, held back.

Their bars and warnings go to stderr and may quote the prompt, which a private picture must not
leave behind. What matters in them is told by sovgen's own errors and notices. The levels belong to
the whole process, so they are put back by the last one out.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

_lock = threading.Lock()
_inside = 0
_levels = ExitStack()


@contextmanager
def libraries_held_back() -> Iterator[None]:
    """Within, diffusers and transformers show no bar and log errors only."""
    _enter()
    try:
        yield
    finally:
        _leave()


def _enter() -> None:
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    global _inside
    with _lock:
        _inside += 1
        if _inside > 1:
            return
        for library in (diffusers_logging, transformers_logging):
            _levels.callback(library.set_verbosity, library.get_verbosity())
            library.set_verbosity_error()
            if library.is_progress_bar_enabled():
                _levels.callback(library.enable_progress_bar)
                library.disable_progress_bar()


def _leave() -> None:
    global _inside
    with _lock:
        _inside -= 1
        if _inside == 0:
            _levels.close()
