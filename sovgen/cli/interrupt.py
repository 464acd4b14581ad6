"""Ctrl-C while pictures are being drawn and kept.

Keeping a picture writes a file, a row and a vector; an interrupt must not fall into that. So it is
held back until the next denoising step, where the picture in hand can be dropped cleanly.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def held_until_step() -> Iterator[Callable[[], None]]:
    """Give a function to be called at each step, which raises KeyboardInterrupt when it is due.

    Before the first step Ctrl-C acts at once; so does a second one.
    """
    drawing = asked = False

    def on_interrupt(_: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked or not drawing:
            raise KeyboardInterrupt
        asked = True
        # Not through a stream: the interrupted code may be in the middle of a write to it.
        os.write(2, b"\nStopping after this step; Ctrl-C again stops at once.\n")

    def step() -> None:
        nonlocal drawing
        drawing = True
        if asked:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield step
    finally:
        signal.signal(signal.SIGINT, before)
