"""Queue: the jobs of one library, in a SQLite file that outlives any kill.

It says what is to be drawn and in which order; what has been drawn, the library's own commits say
(see `sovgen.batch.drain`). A job waits, is being drawn, and is then done, failed or cancelled.
Knows recipes as the text of jobs; knows no models and no pictures.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from index import faults
from sovgen.batch.job import Job, job_from
from sovgen.batch.opening import opened, opened_to_read, told, writing
from sovgen.batch.states import CANCELLED, DONE, DRAWING, FAILED, STATES, WAITING
from sovgen.errors import NoSuchJob, SovgenError

FILE = "queue.sqlite"
SHORTEST_ID = 4
_COLUMNS = "id, recipe, plan, priority, state, attempts, reason, picture, shape, seconds"
# A view of its own, that stands before the table and is gone with the connection.
_RELEASED = """
CREATE TEMP VIEW IF NOT EXISTS jobs AS SELECT id, recipe, plan, priority, position,
    CASE state WHEN 'drawing' THEN 'waiting' ELSE state END AS state,
    attempts, reason, picture, shape, seconds FROM main.jobs
"""


@dataclass(frozen=True)
class Queued:
    """A job as the queue holds it.

    plan: the name of the file that it came from; priority: higher ones are drawn first
    attempts: how often it was begun; reason: why it failed; picture: the id of what was drawn
    shape: equal for jobs that are drawn together; seconds: what drawing it took, where it is known
    """

    id: str
    recipe: str
    plan: str
    priority: int
    state: str
    attempts: int
    reason: str | None
    picture: str | None
    shape: str = ""
    seconds: float | None = None


class Queue:
    """The queue of the library at `root`; its file is made when missing.

    to_read: only look, which makes and changes no file
    Every method is one transaction, and raises QueueDamaged when the file cannot be used, or
    DiskFull when there is no room for what it says.
    """

    def __init__(self, root: Path, *, to_read: bool = False) -> None:
        self.path = root / FILE
        self._reader = to_read
        self._db = opened_to_read(self.path) if to_read else opened(self.path)

    @property
    def seat(self) -> Path:
        """The place, as `sovgen.turn` has them, of whoever draws this queue."""
        return self.path.parent / "locks" / "queue"

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def add(self, jobs: Iterable[Job], plan: str, priority: int = 0) -> int:
        """Put new jobs behind all others, and failed ones among them back; returns how many."""
        known = [(job.id, job.text, job.shape) for job in jobs]  # a mistake shows before any is in
        with self._writing() as db:
            last = db.execute("SELECT coalesce(max(position), 0) FROM jobs").fetchone()[0]
            rows = ((*job, plan, priority, place) for place, job in enumerate(known, int(last) + 1))
            added = db.executemany(
                "INSERT INTO jobs (id, recipe, shape, plan, priority, position, state) "
                "VALUES (?, ?, ?, ?, ?, ?, 'waiting') ON CONFLICT (id) DO UPDATE "
                "SET state = 'waiting', reason = NULL WHERE state = 'failed'",
                rows,
            ).rowcount
            faults.reach("queueing")
            return added

    def list(self, state: str | None = None) -> Iterator[Queued]:
        """The jobs of a state, or all, in the order in which they are drawn."""
        with self._reading() as db:
            rows = db.execute(
                f"SELECT {_COLUMNS} FROM jobs WHERE state = coalesce(?, state) "  # noqa: S608
                "ORDER BY priority DESC, position",
                [state],
            )
            yield from (Queued(*row) for row in rows)

    def counts(self) -> dict[str, int]:
        """How many jobs there are of each state."""
        with self._reading() as db:
            found = dict(db.execute("SELECT state, count(*) FROM jobs GROUP BY state").fetchall())
        return {state: int(found.get(state, 0)) for state in STATES}

    def state_of(self, ids: Sequence[str]) -> dict[str, Queued]:
        """The jobs of these whole ids."""
        found = dict[str, Queued]()
        with self._reading() as db:
            for id in ids:
                row = db.execute(f"SELECT {_COLUMNS} FROM jobs WHERE id = ?", [id]).fetchone()  # noqa: S608
                if row:
                    found[id] = Queued(*row)
        return found

    def claim(
        self, most: int, on_failed: Callable[[str, str], None] = lambda id, reason: None
    ) -> Sequence[Job]:
        """The first job that waits and those behind it of its shape and priority, at most `most`.

        The first is always among them, so however the others are gathered, none waits forever. One
        that this version cannot read has failed: on_failed is told its id and the reason.
        """
        with self._writing() as db:
            first = db.execute(
                "SELECT priority, shape FROM jobs WHERE state = 'waiting' "
                "ORDER BY priority DESC, position LIMIT 1"
            ).fetchone()
            if first is None:
                return []
            rows = db.execute(
                "SELECT id, recipe FROM jobs WHERE state = 'waiting' AND priority = ? "
                "AND shape = ? ORDER BY position LIMIT ?",
                [*first, most],
            ).fetchall()
            db.executemany(
                "UPDATE jobs SET state = 'drawing', attempts = attempts + 1 WHERE id = ?",
                [(id,) for id, _ in rows],
            )
        jobs = []
        for id, recipe in rows:
            try:
                jobs.append(job_from(recipe))
            except (SovgenError, ValueError, TypeError) as error:
                reason = f"It cannot be read: {error}"
                self.fail(id, reason)
                on_failed(id, reason)
        return jobs or self.claim(most, on_failed)

    def awaiting(self, ids: Iterable[str]) -> int:
        """How many of these jobs are still to be drawn."""
        asked = "SELECT 1 FROM jobs WHERE id = ? AND state IN ('waiting', 'drawing')"
        with self._reading() as db:
            return sum(db.execute(asked, [id]).fetchone() is not None for id in ids)

    def alike(self, shape: str) -> int:
        """How many jobs of that shape there are, whatever has become of them."""
        with self._reading() as db:
            found = db.execute("SELECT count(*) FROM jobs WHERE shape = ?", [shape])
            return int(found.fetchone()[0])

    def finish(self, pictures: Iterable[tuple[str, str]], seconds: float | None = None) -> None:
        """Jobs, by id, whose pictures the library holds, and how long drawing each took."""
        with self._writing() as db:
            db.executemany(
                "UPDATE jobs SET state = 'done', reason = NULL, picture = ?, "
                "seconds = coalesce(?, seconds) WHERE id = ?",
                [(picture, seconds, id) for id, picture in pictures],
            )

    def fail(self, id: str, reason: str) -> None:
        """A job that could not be drawn, with the one line that says why."""
        with self._writing() as db:
            db.execute(
                "UPDATE jobs SET state = 'failed', reason = ? WHERE id = ?",
                [" ".join(reason.split()), id],
            )

    def release(self) -> None:
        """Whatever was being drawn waits again; who only reads is told so from now on."""
        if self._reader:
            with self._reading() as db:
                db.execute(_RELEASED)
            return
        with self._writing() as db:
            db.execute("UPDATE jobs SET state = 'waiting' WHERE state = 'drawing'")

    def cancel(self, ids: Sequence[str] | None) -> int:
        """Drop jobs that wait or are being drawn; None for all that wait. Returns how many."""
        states = (WAITING, DRAWING) if ids is not None else (WAITING,)
        return self._move(ids, states, CANCELLED)

    def retry(self, ids: Sequence[str] | None) -> int:
        """Let jobs wait again that failed, were cancelled, or are done; None for all failed."""
        states = (FAILED, CANCELLED, DONE) if ids is not None else (FAILED,)
        return self._move(ids, states, WAITING)

    def reorder(self, ids: Sequence[str], *, last: bool, priority: int | None) -> int:
        """Put jobs, in this order, before or behind all others; returns how many."""
        ends = "max(position) + 1" if last else f"min(position) - {len(ids)}"
        with self._writing() as db:
            end = db.execute(f"SELECT coalesce({ends}, 0) FROM jobs").fetchone()[0]  # noqa: S608
            return db.executemany(
                "UPDATE jobs SET position = ?, priority = coalesce(?, priority) WHERE id = ?",
                [(int(end) + place, priority, id) for place, id in enumerate(ids)],
            ).rowcount

    def whole_ids(self, prefixes: Sequence[str]) -> Sequence[str]:
        """The ids that begin so, each once. Raises NoSuchJob where none does, or several do."""
        with self._reading() as db:
            found = (_only(prefix, _beginning(db, prefix)) for prefix in prefixes)
            return list(dict.fromkeys(found))

    @property
    def paused(self) -> bool:
        """Whether somebody asked for a pause."""
        with self._reading() as db:
            return db.execute("SELECT 1 FROM paused").fetchone() is not None

    @paused.setter
    def paused(self, wanted: bool) -> None:
        with self._writing() as db:
            db.execute("DELETE FROM paused")
            if wanted:
                db.execute("INSERT INTO paused VALUES (datetime('now'))")

    def version(self) -> int:
        """Another number whenever another process has changed the queue."""
        with self._reading() as db:
            return int(db.execute("PRAGMA data_version").fetchone()[0])

    def is_overtaken(self, jobs: Sequence[Job]) -> bool:
        """Whether what is being drawn is no longer what should be: paused, cancelled, or behind."""
        with self._reading() as db:
            first, priority = db.execute(
                "SELECT (SELECT max(priority) FROM jobs WHERE state = 'waiting'), "
                "(SELECT max(priority) FROM jobs WHERE state = 'drawing')"
            ).fetchone()
        held = self.state_of([job.id for job in jobs]).values()
        overtaken = None not in (first, priority) and first > priority
        return self.paused or overtaken or any(job.state == CANCELLED for job in held)

    def _move(self, ids: Sequence[str] | None, states: Sequence[str], to: str) -> int:
        marks = ", ".join("?" for _ in states)
        change = f"UPDATE jobs SET state = ?, reason = NULL WHERE state IN ({marks})"  # noqa: S608
        with self._writing() as db:
            if ids is None:
                return db.execute(change, [to, *states]).rowcount
            rows = [(to, *states, id) for id in ids]
            return db.executemany(f"{change} AND id = ?", rows).rowcount

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with told(self.path):
            yield self._db

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with writing(self._db, self.path) as db:
            yield db


def _beginning(db: sqlite3.Connection, prefix: str) -> Sequence[str]:
    if len(prefix) < SHORTEST_ID:
        raise NoSuchJob(f"{prefix!r} is too short.", f"Give at least {SHORTEST_ID} characters.")
    rows = db.execute("SELECT id FROM jobs WHERE instr(id, ?) = 1 LIMIT 2", [prefix])
    return [id for (id,) in rows]


def _only(prefix: str, found: Sequence[str]) -> str:
    if len(found) == 1:
        return found[0]
    if found:
        raise NoSuchJob(f"Several jobs begin with {prefix!r}.", "Give more of the id.")
    raise NoSuchJob(f"No job begins with {prefix!r}.", "See: sovgen queue list")
