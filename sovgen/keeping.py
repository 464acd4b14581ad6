"""Keeping behind drawing: finished pictures go into the library while the next ones are drawn.

Knows that keeping takes a batch and gives one result for each; knows nothing of models, files or
catalogues.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from sovgen.errors import Interrupted

P = TypeVar("P")
M = TypeVar("M")

# One commit costs about the same for one picture as for ten, and takes that from the drawing. Where
# pictures come faster than this, nobody waits for each.
PAUSE_S = 5.0


def keep_behind(pictures: Iterator[P], keep: Callable[[Sequence[P]], list[M]]) -> Iterator[M]:
    """What keeping gives for each picture, in order.

    Whatever ends the drawing, every finished picture is kept before the end is reported; Ctrl-C
    becomes Interrupted, which says how many were.
    """
    kept, waiting = 0, list[P]()
    job: Future[list[M]] | None = None
    due = time.monotonic() + PAUSE_S
    with _keeper() as keeper:
        try:
            for picture in pictures:
                waiting.append(picture)
                if time.monotonic() < due or not (job is None or job.done()):
                    continue
                made = job.result() if job else []
                job = keeper.submit(keep, tuple(waiting))
                waiting.clear()
                due = time.monotonic() + PAUSE_S
                kept += len(made)
                yield from made
        except KeyboardInterrupt:
            rest = _rest(job, waiting, keep)
            yield from rest
            raise Interrupted(f"Stopped; {_count(kept + len(rest))} kept.") from None
        except BaseException:
            _rest(job, waiting, keep)
            raise
        yield from _rest(job, waiting, keep)


def _rest(
    job: Future[list[M]] | None, waiting: Sequence[P], keep: Callable[[Sequence[P]], list[M]]
) -> list[M]:
    """The results that are still to come, once all is kept; what failed does not stop the last."""
    try:
        made = job.result() if job else []
    finally:
        last = keep(waiting) if waiting else []
    return made + last


@contextmanager
def _keeper() -> Iterator[ThreadPoolExecutor]:
    """A thread that computes on one core.

    With a team of threads of its own there would be more of them than cores, and the OpenMP of
    torch would put the drawing ones to sleep between any two steps: half the speed.
    """
    import torch

    threads = torch.get_num_threads()
    with ThreadPoolExecutor(1, thread_name_prefix="keep") as keeper:
        keeper.submit(_compute_alone).result()
        torch.set_num_threads(threads)  # the last number set is what later threads begin with
        yield keeper


def _compute_alone() -> None:
    import torch

    torch.get_num_threads()  # a thread takes over the common number at its first use of torch
    torch.set_num_threads(1)


def _count(n: int) -> str:
    return "1 picture was" if n == 1 else f"{n or 'no'} pictures were"
