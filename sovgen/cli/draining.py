"""Draining: what a person sees of a queue while it is drawn, and how its jobs are written."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from index.counting import counted
from sovgen.cli.failure import Failure
from sovgen.cli.interrupt import held_until_step
from sovgen.cli.listing import printable
from sovgen.cli.progress import off_screen, several_shown
from sovgen.cli.session import notice

if TYPE_CHECKING:
    from index import Library
    from sovgen.batch.queue import Queue, Queued

# Characters of a prompt on a line.
_LONGEST = 80


def drain_queue(queue: Queue, library: Library, exact: bool, form: str | None) -> None:
    """Draw the queue empty, or until it is paused, telling what becomes of each job.

    Raises Failure when jobs failed, Interrupted when stopped by hand.
    """
    queue.paused = False
    ended: list[str] = []
    try:
        with _stopping(queue, ended):
            _draw(queue, library, exact, form, ended)
    finally:
        if form == "json":
            print_array(as_object(job) for job in queue.state_of(ended).values())
    _tell_the_end(queue, ended)


def release_left_behind(queue: Queue) -> Queue:
    """The queue, where what a killed process was drawing waits again."""
    from sovgen.turn import where_free

    with where_free(queue.seat) as free:
        if free:
            queue.release()
    return queue


def _draw(queue: Queue, library: Library, exact: bool, form: str | None, ended: list[str]) -> None:
    from sovgen.batch.drain import drain

    left = _left(queue)
    with held_until_step() as due, several_shown(("Jobs", "jobs"), ("Steps", "steps")) as bars:
        jobs, steps = bars
        jobs(0, left)

        def on_step(step: int, of: int) -> None:
            steps(step, of)
            due()

        for outcome in drain(queue, library, exact=exact, on_step=on_step, on_notice=notice):
            ended.append(outcome.job)
            jobs(len(ended), max(left, len(ended)))
            if form != "json":
                with off_screen():
                    print_job(queue.state_of([outcome.job])[outcome.job])


@contextmanager
def _stopping(queue: Queue, ended: list[str]) -> Iterator[None]:
    from sovgen.errors import Interrupted

    try:
        yield
    except (Interrupted, KeyboardInterrupt):
        drawn = sum(job.picture is not None for job in queue.state_of(ended).values())
        raise Interrupted(
            f"Stopped; drawn and kept: {drawn}, still to draw: {_left(queue)}."
        ) from None


def _left(queue: Queue) -> int:
    counts = queue.counts()
    return counts["waiting"] + counts["drawing"]


def _tell_the_end(queue: Queue, ended: list[str]) -> None:
    if queue.paused:
        notice(f"Paused; {counted(_left(queue), 'waits', 'wait')}. Go on with: sovgen queue run")
    failed = [job for job in queue.state_of(ended).values() if job.state == "failed"]
    if failed:
        told = f"{len(failed):,} of {counted(len(ended), 'job')} failed"
        raise Failure(
            f"{told}; the first: {failed[0].reason}",
            "All reasons: sovgen queue list --state failed; once more: sovgen queue retry",
        )


def as_object(job: Queued) -> dict[str, object]:
    """A job as JSON: what the queue knows of it, and its recipe."""
    return {**vars(job), "recipe": json.loads(job.recipe)}


def print_job(job: Queued, shown: Sequence[str] = ()) -> None:
    """One line: job, state, picture, and the prompt, or the reason of a job that failed.

    shown: fields of its recipe that follow, as far as they are set
    """
    recipe = json.loads(job.recipe)
    words = printable(job.reason) if job.reason else _shortened(printable(recipe["prompt"]))
    columns = [job.id, job.state, job.picture or "-", words]
    if told := [f"{name}={printable(recipe[name])}" for name in shown if name in recipe]:
        columns.append(" ".join(told))
    click.echo("\t".join(columns))


def _shortened(prompt: str) -> str:
    """On one line of a screen; all of it is in the JSON."""
    return prompt if len(prompt) <= _LONGEST else f"{prompt[: _LONGEST - 1].rstrip()}…"


def print_array(objects: Iterable[Mapping[str, object]]) -> None:
    """One JSON array, written as its members come, one a line."""
    opened = "["
    for one in objects:
        click.echo(f"{opened}\n{json.dumps(one)}", nl=False)
        opened = ","
    click.echo("[]" if opened == "[" else "\n]")
