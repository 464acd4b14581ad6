"""Drain: draw a queue empty, so that a kill at any instant leaves nothing twice and nothing lost.

A picture and the id of its job are one commit of the library; the queue's row is marked after it.
Whatever ends a share of the work, the library is asked which of its jobs it holds. Jobs of one
shape are drawn together. Knows the Studio, the queue and the library; shows nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from index import faults
from index.errors import AmbiguousId, LibraryError, NoSuchPicture, UnreadableImage
from sovgen.batch.job import Job, own
from sovgen.batch.queue import Queue
from sovgen.batch.states import DRAWING, WAITING
from sovgen.errors import BrokenPicture, Interrupted, OutOfMemory, QueueDamaged, SovgenError
from sovgen.studio import Studio
from sovgen.turn import is_wanted, taken

if TYPE_CHECKING:
    from index import Library
    from sovgen.picture import Picture
    from sovgen.recipe import Recipe

OnStep = Callable[[int, int], None]
OnNotice = Callable[[str], None]

# A share ends where a batch does, once it is this long and another process waits for the device.
_SHARE_S = 30.0
_LARGEST_SHARE = 256
# What is wrong with a picture that a recipe names is the job's own affair.
_OF_THE_JOB = (NoSuchPicture, AmbiguousId, UnreadableImage)
_OF_THE_RUN = (LibraryError, QueueDamaged, OSError, MemoryError)
_WHILE_DRAWING = (BrokenPicture, OutOfMemory)


@dataclass(frozen=True)
class Outcome:
    """What became of a job: the id of its picture, or the reason why there is none."""

    job: str
    picture: str | None
    reason: str | None = None


class Overtaken(Exception):
    """Something else comes first: the queue was paused or changed, or another's turn has come."""


def drain(
    queue: Queue,
    library: Library,
    *,
    exact: bool = False,
    on_step: OnStep | None = None,
    on_notice: OnNotice | None = None,
) -> Iterator[Outcome]:
    """Draw what waits until nothing does or somebody pauses; one outcome for each job.

    exact: draw each alone, so that no pixel can depend on the batch
    on_step: called as on_step(i, n) after the i-th of n steps of a batch
    While another process drains the queue this waits. Stopping by hand raises Interrupted once
    everything finished is kept. Raises what goes wrong with the library or the queue; what goes
    wrong with a job is its outcome, and the others go on.
    """
    once = _once(on_notice)
    with taken(queue.seat, "is drawing this queue", once):
        unsettled = [job.id for state in (DRAWING, WAITING) for job in queue.list(state)]
        yield from _settle(queue, library, unsettled)
        queue.release()
        run = _Run(queue, library, exact, on_step or (lambda *_: None), once)
        unread = list[Outcome]()
        while not queue.paused:
            jobs = queue.claim(
                _LARGEST_SHARE, lambda id, why: unread.append(Outcome(id, None, why))
            )
            try:
                yield from unread
                unread.clear()
                if not jobs:
                    break
                faults.reach("claimed")
                yield from run.draw(jobs)
            finally:
                queue.release()


def _once(on_notice: OnNotice | None) -> OnNotice:
    """A run of many shares says nothing twice."""
    said = set[str]()

    def tell(text: str) -> None:
        if on_notice and text not in said:
            said.add(text)
            on_notice(text)

    return tell


def _settle(queue: Queue, library: Library, jobs: Sequence[str]) -> list[Outcome]:
    """Mark those jobs as done whose pictures the library holds."""
    held = library.made_for(jobs) if jobs else {}
    queue.finish(held.items())
    return [Outcome(job, picture) for job, picture in held.items()]


class _Run:
    """One process's work on a queue, and the model that it holds meanwhile."""

    def __init__(
        self, queue: Queue, library: Library, exact: bool, on_step: OnStep, on_notice: OnNotice
    ) -> None:
        self.queue, self.library, self.exact = queue, library, exact
        self.on_step, self.on_notice = on_step, on_notice
        self._version = queue.version()
        self._began = time.monotonic()
        self._loaded: tuple[object, Studio] | None = None

    def draw(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        """Draw jobs of one shape; whatever ends it, what was kept is marked."""
        studio = self._studio(jobs[0].recipe)
        with ExitStack() as held:
            try:
                held.enter_context(studio.turn(self.on_notice))
                _ = studio.model
            except Exception as error:  # none of them has a model or a device to be drawn with
                yield from [self._failed(job, error) for job in jobs]
                return
            yield from self._draw(studio, jobs)

    def _studio(self, recipe: Recipe) -> Studio:
        key = (recipe.model, recipe.device, recipe.dtype)
        if self._loaded is None or self._loaded[0] != key:
            self._loaded = None  # the old model's memory is free before the new one is loaded
            studio = Studio(self.library, recipe.model, device=recipe.device, dtype=recipe.dtype)
            self._loaded = key, studio
        return self._loaded[1]

    def _draw(self, studio: Studio, jobs: Sequence[Job]) -> Iterator[Outcome]:
        """Raises Interrupted, and what is wrong with the library, once what was kept is marked."""
        left = {job.id: job for job in jobs}
        stop: BaseException | None = None
        self._began = time.monotonic()
        try:
            with closing(self._made(studio, jobs)) as outcomes:
                for outcome in outcomes:
                    del left[outcome.job]
                    yield outcome
        except (Exception, KeyboardInterrupt) as error:
            stop = error
        for outcome in _settle(self.queue, self.library, list(left)) if stop else ():
            del left[outcome.job]
            yield outcome
        if stop and not isinstance(stop, Overtaken):
            yield from self._after(stop, studio, list(left.values()), started=len(left) < len(jobs))

    def _made(self, studio: Studio, jobs: Sequence[Job]) -> Generator[Outcome]:
        names = {job.own: job.id for job in jobs}

        def record(picture: Picture) -> Mapping[str, object]:
            return {"job": names[own(picture.recipe)]}

        def on_step(step: int, steps: int, _: object) -> None:
            if step == 1:  # what was drawn before is on its way into the library
                self._give_way(studio, jobs)
            self.on_step(step, steps)

        recipes = [job.recipe for job in jobs]
        # By all of the shape, so that going on after a kill draws as before it.
        among = self.queue.alike(jobs[0].shape)
        told = {"on_step": on_step, "on_notice": self.on_notice, "among": among}
        making = studio.make(recipes, exact=self.exact, record=record, **told)  # type: ignore[arg-type]
        # Closed here and not at some later time, so that what then goes wrong ends the run.
        with closing(making) as pictures:  # type: ignore[type-var]
            for made in pictures:
                outcome = Outcome(names[own(made.picture.recipe)], made.picture.id)
                faults.reach("marking")
                self.queue.finish([(outcome.job, made.picture.id)], made.picture.duration)
                yield outcome

    def _give_way(self, studio: Studio, jobs: Sequence[Job]) -> None:
        if time.monotonic() - self._began > _SHARE_S and is_wanted(studio.model.device):
            raise Overtaken
        version = self.queue.version()
        if version != self._version:
            self._version = version
            if self.queue.is_overtaken(jobs):
                raise Overtaken

    def _after(
        self, stop: BaseException, studio: Studio, left: Sequence[Job], *, started: bool
    ) -> Iterator[Outcome]:
        """What follows from an error: one job is to blame, or nobody knows yet which."""
        of_the_run = isinstance(stop, _OF_THE_RUN) and not isinstance(stop, _OF_THE_JOB)
        if of_the_run or isinstance(stop, (Interrupted, KeyboardInterrupt)) or not left:
            raise stop
        if started or len(left) == 1 or isinstance(stop, _WHILE_DRAWING):
            # pictures come in the order of their jobs, so the first that is lacking broke
            yield self._failed(left[0], stop)
            return
        half = len(left) // 2
        for jobs in (left[:half], left[half:]):
            yield from self._draw(studio, jobs)

    def _failed(self, job: Job, error: BaseException) -> Outcome:
        told = error.message if isinstance(error, (SovgenError, LibraryError)) else ""
        reason = told or f"{type(error).__name__}: {error}"
        self.queue.fail(job.id, reason)
        return Outcome(job.id, None, reason)
