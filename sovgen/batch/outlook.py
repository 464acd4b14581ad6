"""Outlook: how long what waits will take, told by how long others took.

Knows jobs as the queue holds them; asks neither the machine nor the library.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from statistics import fmean

from sovgen.batch.queue import Queued
from sovgen.batch.states import DRAWING, WAITING


def outlook(jobs: Iterable[Queued]) -> dict[str, float]:
    """Seconds until each job that waits or is being drawn will be done, by id.

    jobs: in the order in which they are drawn, those that are done among them
    A job takes what those of its shape took on average, or all, where none of its shape is known.
    Empty where nothing is known.
    """
    known, ahead = defaultdict[str, list[float]](list), list[Queued]()
    for job in jobs:
        if job.seconds is not None:
            known[job.shape].append(job.seconds)
        if job.state in (WAITING, DRAWING):
            ahead.append(job)
    if not known:
        return {}
    pace = {shape: fmean(seconds) for shape, seconds in known.items()}
    usual = fmean(one for seconds in known.values() for one in seconds)
    left, ends = 0.0, dict[str, float]()
    for job in sorted(ahead, key=lambda job: job.state == WAITING):
        left += pace.get(job.shape, usual)
        ends[job.id] = left
    return ends


def said(seconds: float) -> str:
    """`40 s`, `12 min` or `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
