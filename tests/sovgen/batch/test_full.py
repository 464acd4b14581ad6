"""A full disk: the run ends with one error, nothing kept is lost, and the jobs go on."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence

import pytest

from index import Library, New
from index.errors import DiskFull
from sovgen import keeping
from sovgen.batch.drain import drain
from sovgen.batch.queue import Queue
from tests.sovgen.batch.conftest import JobsOf
from tests.sovgen.batch.test_drain import kept


def test_a_disk_that_is_full_ends_the_run_once_and_the_jobs_go_on(
    queue: Queue, library: Library, jobs_of: JobsOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The queue has no room to mark the first picture, nor the library any for the second."""
    queue.add(jobs_of(4), "p")
    ignored, keep, steps = list[object](), library.keep, list[int]()
    first_kept = threading.Event()

    def keep_once(new: Sequence[New]) -> object:
        patched.setattr(library, "keep", refuse)
        try:
            return keep(new)
        finally:
            first_kept.set()

    def on_step(step: int, _: int) -> None:
        steps.append(step)
        # The first is kept before the second is drawn.
        assert len(steps) == 1 or first_kept.wait(60)

    def refuse(pictures: object = True, *_: object) -> None:
        if pictures:
            raise DiskFull("No room is left.")

    monkeypatch.setattr(keeping, "PAUSE_S", 0.0)
    monkeypatch.setattr(sys, "unraisablehook", ignored.append)
    with monkeypatch.context() as patched:
        patched.setattr(library, "keep", keep_once)
        patched.setattr(queue, "finish", refuse)
        with pytest.raises(DiskFull):
            list(drain(queue, library, exact=True, on_step=on_step))
    assert ignored == []
    before = kept(library)
    assert before and len(list(drain(queue, library))) == 4
    assert len(kept(library)) == 4 and before.items() <= kept(library).items()
