"""Spinning: whether torch's threads wait for each other awake.

The OpenMP of torch's wheels for Linux lets a thread that is done spin for milliseconds until the
others are, hundreds of times in a step. That is fastest while each has a core to itself. Once
another process computes, the one that is waited for is not even running, and a step takes 10 to 80
times as long. Asleep, they wake up a little later and no step is lost. Read when torch is first
imported. Knows processes; knows nothing of what is drawn.
"""

from __future__ import annotations

import os
import time
from collections.abc import MutableMapping
from pathlib import Path

_POLICY = "OMP_WAIT_POLICY"
_CHOSEN = (_POLICY, "GOMP_SPINCOUNT", "OMP_NUM_THREADS")
_LOOKS, _APART_S = 3, 0.001


def spare_others(environ: MutableMapping[str, str] = os.environ) -> None:
    """Let waiting threads sleep if another process computes now, unless something was chosen."""
    if not any(name in environ for name in _CHOSEN) and _others_compute():
        environ[_POLICY] = "passive"


def _others_compute() -> bool:
    """Whether something else runs at each of some looks; a thing that only passes by does not."""
    for look in range(_LOOKS):
        if look:
            time.sleep(_APART_S)
        if _running() <= 1:  # this process itself
            return False
    return True


def _running() -> int:
    """How many threads of the whole machine are running or could be; 0 where nobody tells."""
    try:
        return int(Path("/proc/loadavg").read_text(encoding="ascii").split()[3].partition("/")[0])
    except (OSError, ValueError, IndexError):
        return 0
