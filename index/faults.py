"""Named points at which the crash harness kills a process, to show that nothing is lost there.

`SOVGEN_FAULT=point` kills at the first passage, `SOVGEN_FAULT=point:3` at the third. Unset, a point
costs one look into the environment. Nothing else in the library knows of crashes.
"""

from __future__ import annotations

import os
import signal
from collections import Counter

_passed: Counter[str] = Counter()


def reach(point: str) -> None:
    """Die here, as by kill -9, if the environment says so."""
    wanted = os.environ.get("SOVGEN_FAULT")
    if not wanted:
        return
    name, _, turn = wanted.partition(":")
    if name == point:
        _passed[point] += 1
        if _passed[point] >= int(turn or 1):
            os.kill(os.getpid(), signal.SIGKILL)
