"""Named points at which the crash harness kills a process, to show that nothing is lost there.

`SOVGEN_FAULT=point` kills at the first passage, `SOVGEN_FAULT=point:3` at the third. Unset, a point
costs one look into the environment. Nothing else in the library knows of crashes.
"""

from __future__ import annotations

import os
import signal

# Every passage in order, so that the harness can learn where an operation leads.
passed: list[str] = []


def reach(point: str) -> None:
    """Die here, as by kill -9, if the environment says so."""
    wanted = os.environ.get("SOVGEN_FAULT")
    if not wanted:
        return
    passed.append(point)
    name, _, turn = wanted.partition(":")
    if name == point and passed.count(point) >= int(turn or 1):
        os.kill(os.getpid(), signal.SIGKILL)
