"""batch run: a plan becomes jobs, and the jobs pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from index.counting import counted
from sovgen.cli.draining import as_object, drain_queue, print_array, print_job, release_left_behind
from sovgen.cli.failure import Failure
from sovgen.cli.lazy import LazyGroup
from sovgen.cli.options import as_json, by_priority
from sovgen.cli.recipe import CONFIGURED
from sovgen.cli.session import Session, notice

if TYPE_CHECKING:
    from sovgen.batch.job import Job
    from sovgen.batch.plan import Plan
    from sovgen.batch.queue import Queue, Queued
    from sovgen.recipe import Recipe

# What recipes name that must be here.
_NAMING = ("model", "loras", "embeddings", "vae", "control", "adapter", "refiner", "upscaler")
# More than this is seldom meant.
ASKED_FROM = 1000


class Batch(LazyGroup):
    """The commands of `sovgen batch`."""

    commands_at = {"run": ("sovgen.cli.batch:run", "Draw all that a plan stands for.")}


@click.group(cls=Batch, epilog="Example: sovgen batch run plan.toml --dry-run")
def batch() -> None:
    """Draw many pictures from a plan."""


@click.command(epilog="Example: sovgen batch run prompts.csv --set steps=20 --count 4")
@click.argument("file", metavar="PLAN", type=click.Path(path_type=Path))
@click.option(
    "--set",
    "pairs",
    multiple=True,
    metavar="FIELD=VALUE",
    help="A field of every recipe, whatever the plan says of it.",
)
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="Seeds for each prompt.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the first N jobs.")
@click.option("--yes", is_flag=True, help="However many there are.")
@by_priority(default=0)
@click.option("--exact", is_flag=True, help="Draw each alone, so that no batch touches its pixels.")
@click.option("--dry-run", is_flag=True, help="Tell the jobs and draw nothing.")
@as_json
@click.pass_obj
def run(
    session: Session,
    file: Path,
    pairs: tuple[str, ...],
    count: int | None,
    limit: int | None,
    yes: bool,
    priority: int,
    exact: bool,
    dry_run: bool,
    form: str | None,
) -> None:
    """Draw all that a plan stands for.

    PLAN is a TOML file, or prompts in a .txt, .csv or .jsonl file; docs/batch.md describes them.
    What was drawn before is not drawn again: after a stop of any kind the same command goes on.
    """
    from sovgen.batch.queue import Queue

    plan = _plan(session, file, pairs, count)
    total = _allowed(plan, limit, yes or dry_run)
    if dry_run:
        _tell(session, plan, limit, form)
        return
    jobs = sum(1 for _ in plan.jobs(limit))  # a mistake shows before a library is made
    library = session.open_or_create()
    if kept := plan.files.keep(library):
        names = ("picture that the plan names is", "pictures that the plan names are")
        notice(f"{counted(kept, *names)} in the library now.")
    queue = Queue(library.root)
    notice(f"{_said(jobs, total, limit)}; {_queued(queue, plan, limit, priority):,} to be drawn.")
    drain_queue(queue, library, exact, form)


def _queued(queue: Queue, plan: Plan, limit: int | None, priority: int) -> int:
    """How many of the plan's jobs wait now, those of an earlier run among them."""
    ids: list[str] = []

    def jobs() -> Iterator[Job]:
        for job in plan.jobs(limit):
            ids.append(job.id)
            yield job

    queue.add(jobs(), plan.path.name, priority)
    return queue.awaiting(ids)


def _plan(session: Session, file: Path, pairs: tuple[str, ...], count: int | None) -> Plan:
    from sovgen.batch.plan import changed, read_plan
    from sovgen.batch.wildcards import wildcards_beside
    from sovgen.settings import config_file

    configured = {name: getattr(session.settings, name) for name in CONFIGURED}
    defaults = {name: value for name, value in configured.items() if value is not None}
    plan = read_plan(file, defaults, wildcards_beside(file, config_file()))
    return changed(plan, dict(_pair(text) for text in pairs), count)


def _pair(text: str) -> tuple[str, object]:
    from sovgen.batch.fields import from_cell, known

    name, equals, value = text.partition("=")
    if not equals:
        raise click.BadParameter(f"{text!r} is no FIELD=VALUE.", param_hint="--set")
    return known(name, "--set"), from_cell(name, value, "--set")


def _allowed(plan: Plan, limit: int | None, yes: bool) -> int:
    """How many recipes the plan stands for. Raises BadPlan for more than are meant."""
    from sovgen.batch.plan import MOST_JOBS
    from sovgen.errors import BadPlan

    total = plan.total if limit is None else min(limit, plan.total)
    if total > MOST_JOBS:
        raise BadPlan(
            f"The plan stands for {plan.total:,} pictures; {MOST_JOBS:,} are the most.",
            "Draw some of them: --limit 1000, or sample = 1000 in the plan.",
        )
    if total > ASKED_FROM and not yes:
        raise BadPlan(
            f"The plan stands for {plan.total:,} pictures.",
            "Draw all of them with --yes, or the first with --limit 100; --dry-run tells them.",
        )
    return total


def _said(jobs: int, total: int, limit: int | None) -> str:
    """How many jobs, and how many recipes were left out because another says the same."""
    repeated = total - jobs if limit is None else 0
    told = counted(repeated, "repeated one is", "repeated ones are")
    return counted(jobs, "job") + (f" ({told} drawn once)" if repeated else "")


def _tell(session: Session, plan: Plan, limit: int | None, form: str | None) -> None:
    """Every job on stdout as it is made, so that a large plan needs little memory."""
    states = _states(session)
    told: list[str] = []
    naming: dict[tuple[object, ...], Recipe] = {}

    def jobs() -> Iterator[Queued]:
        for job in plan.jobs(limit):
            told.append(job.id)
            naming.setdefault(tuple(getattr(job.recipe, name) for name in _NAMING), job.recipe)
            yield _unqueued(job, plan.path.name, states.get(job.id, "new"))

    if form == "json":
        print_array(map(as_object, jobs()))
    else:
        for one in jobs():
            print_job(one, plan.varying)
    notice(f"{_said(len(told), plan.total, limit)}; nothing was drawn.")
    _refuse_unknown(session, naming.values())


def _refuse_unknown(session: Session, recipes: Iterable[Recipe]) -> None:
    """Raise Failure, one for all, for models and the like that recipes name and nobody has."""
    from sovgen.errors import SovgenError
    from sovgen.models.additions.wanted import find_additions
    from sovgen.models.store import find_model

    wrong: dict[str, str] = {}
    for recipe in recipes:
        for find in (lambda r: find_model(r.model or session.settings.model), find_additions):
            try:
                find(recipe)
            except SovgenError as error:
                wrong[error.message] = error.hint
    if wrong:
        raise Failure(" ".join(wrong), next(iter(wrong.values())))


def _unqueued(job: Job, plan: str, state: str) -> Queued:
    from sovgen.batch.queue import Queued

    return Queued(job.id, job.text, plan, 0, state, 0, None, None)


def _states(session: Session) -> dict[str, str]:
    """The states of the jobs that are queued already; looking makes no queue."""
    from sovgen.batch.queue import FILE, Queue

    root = session.settings.library
    if not (root / FILE).is_file():
        return {}
    queue = release_left_behind(Queue(root, to_read=True))
    return {job.id: job.state for job in queue.list()}
