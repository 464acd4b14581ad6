"""queue list|run|pause|cancel|retry|reorder: what waits to be drawn, and in which order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from index.counting import counted
from sovgen.batch.states import CANCELLED, DONE, DRAWING, FAILED, STATES, WAITING
from sovgen.cli.draining import as_object, drain_queue, print_array, print_job, release_left_behind
from sovgen.cli.lazy import LazyGroup
from sovgen.cli.options import as_json, by_priority
from sovgen.cli.session import Session, notice

if TYPE_CHECKING:
    from sovgen.batch.queue import Queue


class JobQueue(LazyGroup):
    """The commands of `sovgen queue`."""

    commands_at = {
        "list": ("sovgen.cli.queue:list_jobs", "List the jobs, the next one first."),
        "run": ("sovgen.cli.queue:run", "Draw what waits."),
        "pause": ("sovgen.cli.queue:pause", "Let whoever is drawing stop after this batch."),
        "cancel": ("sovgen.cli.queue:cancel", "Drop jobs that are not drawn yet."),
        "retry": ("sovgen.cli.queue:retry", "Draw jobs once more."),
        "reorder": ("sovgen.cli.queue:reorder", "Put jobs before or behind all others."),
    }


@click.group(cls=JobQueue, epilog="Example: sovgen queue list --state failed")
def queue() -> None:
    """See, draw and change what waits to be drawn."""


@click.command("list", epilog="Example: sovgen queue list --state failed --json")
@click.option("--state", type=click.Choice(STATES), help="Only these; else all but what is done.")
@as_json
@click.pass_obj
def list_jobs(session: Session, state: str | None, form: str | None) -> None:
    """List the jobs, the next one first.

    One line a job: its id, its state, its picture's id, its prompt or why it failed. With --json
    also `left`, the seconds until it will be done, told by how long others took.
    """
    from sovgen.batch.outlook import outlook, said

    queue = _open_to_read(session)
    left = outlook(queue.list())
    jobs = (job for job in queue.list(state) if state or job.state != "done")
    if form == "json":
        print_array({**as_object(job), "left": left.get(job.id)} for job in jobs)
    else:
        for job in jobs:
            print_job(job)
    told = ", ".join(f"{n:,} {name}" for name, n in queue.counts().items() if n)
    ends = f"; about {said(max(left.values()))} left" if left else ""
    notice(f"{told or 'Nothing is queued'}{'; paused' if queue.paused else ''}{ends}.")


@click.command(epilog="Example: sovgen queue run")
@click.option("--exact", is_flag=True, help="Draw each alone, so that no batch touches its pixels.")
@as_json
@click.pass_obj
def run(session: Session, exact: bool, form: str | None) -> None:
    """Draw what waits.

    While another process draws this queue, this one waits and then goes on. Ctrl-C stops after the
    step in hand; what was drawn is kept, what was not waits on.
    """
    library, queue = session.open(), _open(session)
    counts = queue.counts()
    if not counts[WAITING] + counts[DRAWING]:
        notice("Nothing waits to be drawn.")
    drain_queue(queue, library, exact, form)


@click.command(epilog="Example: sovgen queue pause")
@click.pass_obj
def pause(session: Session) -> None:
    """Let whoever is drawing stop after this batch.

    `sovgen queue run` goes on.
    """
    queue = _open(session)
    queue.paused = True
    notice(f"Paused; {counted(queue.counts()[WAITING], 'waits', 'wait')}.")


@click.command(epilog="Example: sovgen queue cancel 3f9a")
@click.argument("ids", nargs=-1, metavar="JOB...")
@click.option("--all", "everything", is_flag=True, help="All that wait.")
@click.pass_obj
def cancel(session: Session, ids: tuple[str, ...], everything: bool) -> None:
    """Drop jobs that are not drawn yet."""
    if bool(ids) == everything:
        raise click.UsageError("Name jobs, or give --all.")
    queue = _open(session)
    named = queue.whole_ids(ids)
    left = _left_alone(queue, named, WAITING, DRAWING)
    notice(f"Cancelled {queue.cancel(None if everything else named):,}{left}.")


@click.command(epilog="Example: sovgen queue retry")
@click.argument("ids", nargs=-1, metavar="[JOB]...")
@click.pass_obj
def retry(session: Session, ids: tuple[str, ...]) -> None:
    """Draw jobs once more.

    Without JOB all that failed; a JOB may also be cancelled, or done and its picture deleted.
    They wait until `sovgen queue run`, or whoever is drawing, comes to them.
    """
    library, queue = session.open(), _open(session)
    named = queue.whole_ids(ids)
    done = [id for id, job in queue.state_of(named).items() if job.state == DONE]
    drawn = library.made_for(done) if done else {}
    left = _left_alone(queue, named, FAILED, CANCELLED, DONE)
    again = [id for id in named if id not in drawn]
    notice(f"Waiting again: {queue.retry(again if ids else None):,}{left}.")
    if drawn:
        pictures = " ".join(id[:8] for id in drawn.values())
        notice(f"Done already: {len(drawn):,}. To draw anew, first: sovgen delete {pictures}")


@click.command(epilog="Example: sovgen queue reorder 3f9a --priority 5")
@click.argument("ids", nargs=-1, required=True, metavar="JOB...")
@click.option("--last", is_flag=True, help="Behind all others of their priority, not before them.")
@by_priority(default=None)
@click.pass_obj
def reorder(session: Session, ids: tuple[str, ...], last: bool, priority: int | None) -> None:
    """Put jobs before or behind all others.

    In the order in which they are named, among those of their priority.
    """
    queue = _open(session)
    moved = queue.reorder(queue.whole_ids(ids), last=last, priority=priority)
    notice(f"Moved {moved:,}.")


def _left_alone(queue: Queue, ids: Sequence[str], *states: str) -> str:
    """What is to be said of the jobs that are in none of these states, and so stay as they are."""
    left = Counter(job.state for job in queue.state_of(ids).values() if job.state not in states)
    told = ", ".join(f"{count:,} {state}" for state, count in left.items())
    return f"; left alone: {told}" if told else ""


def _open(session: Session) -> Queue:
    from sovgen.batch.queue import Queue

    return release_left_behind(Queue(session.open().root))


def _open_to_read(session: Session) -> Queue:
    from sovgen.batch.queue import Queue

    return release_left_behind(Queue(session.open().root, to_read=True))
