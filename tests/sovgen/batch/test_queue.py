"""The queue: what is asked of it holds, in order, and in a file that others may use too."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
from pathlib import Path

import pytest

from index.errors import DiskFull
from sovgen.batch.job import Job, job_of
from sovgen.batch.outlook import outlook, said
from sovgen.batch.queue import FILE, Queue, Queued
from sovgen.errors import NoSuchJob, QueueDamaged
from sovgen.recipe import Recipe
from tests.index.boxes import run_boxed


def jobs(*prompts: str, steps: int = 1) -> list[Job]:
    return [job_of(Recipe(prompt, steps=steps)) for prompt in prompts]


def prompts(found: list[Queued]) -> list[str]:
    return [job.recipe.split('"prompt":"')[1].split('"')[0] for job in found]


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    return Queue(tmp_path)


def test_jobs_come_in_the_order_of_adding_and_each_once(queue: Queue) -> None:
    assert queue.add(jobs("a", "b"), "first") == 2
    assert queue.add(jobs("b", "c", "a"), "second") == 1
    assert prompts(list(queue.list())) == ["a", "b", "c"]
    assert [job.plan for job in queue.list()] == ["first", "first", "second"]


def test_a_share_is_of_one_shape_and_begins_with_the_first(queue: Queue) -> None:
    one, two = jobs("a", "b", "c"), jobs("d", "e", steps=2)
    queue.add([one[0], two[0], one[1], two[1], one[2]], "p")
    assert [job.recipe.prompt for job in queue.claim(2)] == ["a", "b"]
    assert [job.recipe.prompt for job in queue.claim(9)] == ["d", "e"]
    assert [job.recipe.prompt for job in queue.claim(9)] == ["c"]
    assert queue.claim(9) == []


def test_nobody_waits_forever_behind_another_shape(queue: Queue) -> None:
    [lonely] = jobs("lonely", steps=9)
    queue.add([*jobs("a"), lonely, *jobs(*"bcdefgh")], "p")
    shares = [[job.recipe.prompt for job in queue.claim(3)] for _ in range(2)]
    queue.add(jobs("x", "y"), "p")
    assert shares == [["a", "b", "c"], ["lonely"]]


def test_higher_priorities_come_first(queue: Queue) -> None:
    queue.add(jobs("a", "b"), "p")
    queue.add(jobs("c"), "p", priority=5)
    assert [job.recipe.prompt for job in queue.claim(3)] == ["c"]
    [a, b] = [job.id for job in queue.list("waiting")]
    queue.reorder([b], last=False, priority=None)
    assert [job.id for job in queue.list("waiting")] == [b, a]
    queue.reorder([b], last=True, priority=None)
    assert [job.id for job in queue.list("waiting")] == [a, b]
    queue.reorder([b], last=True, priority=1)
    assert [job.id for job in queue.list("waiting")] == [b, a]


def test_a_failed_job_keeps_its_reason_on_one_line_until_it_is_tried_again(queue: Queue) -> None:
    queue.add(jobs("a", "b"), "p")
    [a, b] = queue.claim(2)
    queue.fail(a.id, "what\nhappened")
    queue.finish([(b.id, "picture")])
    [failed] = queue.list("failed")
    assert (failed.reason, failed.attempts) == ("what happened", 1)
    assert queue.counts() == {"waiting": 0, "drawing": 0, "done": 1, "failed": 1, "cancelled": 0}
    assert queue.retry(None) == 1
    assert next(queue.list("waiting")).reason is None
    queue.fail(a.id, "again")
    assert queue.add(jobs("a", "b"), "p") == 1, "a plan that is run again tries again"
    assert next(queue.list("done")).picture == "picture"


def test_cancelled_jobs_stay_so_until_they_are_asked_for(queue: Queue) -> None:
    queue.add(jobs("a", "b", "c"), "p")
    [a, *_] = queue.claim(1)
    assert queue.cancel(None) == 2, "what is being drawn is named to be cancelled"
    assert queue.cancel([a.id]) == 1
    assert queue.add(jobs("a", "b"), "p") == 0
    assert queue.claim(9) == []
    assert queue.retry([a.id]) == 1 and queue.claim(9) == [a]


def test_ids_are_known_by_their_beginnings(queue: Queue) -> None:
    queue.add(jobs("a", "b"), "p")
    [a, b] = [job.id for job in queue.list()]
    assert queue.whole_ids([a[:4], b]) == [a, b]
    assert queue.whole_ids([b, a[:4], b[:5], a]) == [b, a]
    for wrong in (a[:3], "none", "%___", ""):
        with pytest.raises(NoSuchJob):
            queue.whole_ids([wrong])


def test_a_change_by_another_is_seen(queue: Queue, tmp_path: Path) -> None:
    queue.add(jobs("a", "b", "c"), "p")
    share, before = queue.claim(2), queue.version()
    queue.release()
    share = queue.claim(2)
    assert queue.version() == before and not queue.is_overtaken(share)
    other = Queue(tmp_path)
    for change, back in (
        (lambda: setattr(other, "paused", True), lambda: setattr(other, "paused", False)),
        (lambda: other.cancel([share[1].id]), lambda: other.finish([(share[1].id, "x")])),
        (lambda: other.add(jobs("z"), "p", priority=1), lambda: other.cancel(None)),
    ):
        version = queue.version()
        change()
        assert queue.version() != version and queue.is_overtaken(share)
        back()
        assert not queue.is_overtaken(share)


def test_several_at_once_claim_every_job_once(tmp_path: Path) -> None:
    Queue(tmp_path).add(jobs(*(f"p{n}" for n in range(60))), "p")
    claimed: list[str] = []

    def work() -> None:
        mine = Queue(tmp_path)
        while share := mine.claim(3):
            claimed.extend(job.id for job in share)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(claimed) == len(set(claimed)) == 60


def test_how_long_is_left_is_told_by_jobs_of_the_same_shape(queue: Queue) -> None:
    quick, slow = jobs("a", "b", "c"), jobs("d", "e", steps=9)
    queue.add([*quick, *slow], "p")
    assert outlook(queue.list()) == {}
    queue.claim(1)
    queue.finish([(quick[0].id, "picture")], 2.0)
    assert outlook(queue.list()) == {
        job.id: 2.0 * place for place, job in enumerate([*quick[1:], *slow], 1)
    }
    queue.finish([(slow[0].id, "picture")], 8.0)
    queue.cancel([quick[1].id])
    assert outlook(queue.list()) == {quick[2].id: 2.0, slow[1].id: 10.0}
    assert [said(s) for s in (40.4, 600, 9000)] == ["40 s", "10 min", "2.5 h"]


def make_of_first_version(root: Path) -> None:
    Queue(root).add(jobs("a"), "p")
    with sqlite3.connect(root / FILE) as db:
        db.execute("ALTER TABLE jobs DROP COLUMN seconds")
        db.execute("PRAGMA user_version = 1")
    db.close()


def test_a_queue_of_the_first_version_goes_on(tmp_path: Path) -> None:
    make_of_first_version(tmp_path)
    [job] = Queue(tmp_path).list()
    assert (job.state, job.seconds) == ("waiting", None)


def test_the_file_is_the_owners_alone_and_knows_its_version(queue: Queue, tmp_path: Path) -> None:
    queue.add(jobs("a"), "p")
    for file in tmp_path.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    with sqlite3.connect(queue.path) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(QueueDamaged, match="newer"):
        Queue(tmp_path)


def test_a_damaged_file_is_told_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "queue.sqlite").write_bytes(os.urandom(5000))
    with pytest.raises(QueueDamaged) as caught:
        Queue(tmp_path)
    assert "damaged" in caught.value.message and "Move it away" in caught.value.hint
    with pytest.raises(QueueDamaged, match="cannot be used"):
        Queue(tmp_path / "nowhere")


def test_a_full_disk_is_said_and_the_queue_goes_on(queue: Queue) -> None:
    queue.add(jobs("a"), "p")
    with sqlite3.connect(queue.path) as db:
        pages = db.execute("PRAGMA page_count").fetchone()[0]
    queue._db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(DiskFull, match="No room is left"):
        queue.add(jobs(*("b" * n for n in range(1, 900))), "p")
    queue._db.execute("PRAGMA max_page_count = 100000")
    assert prompts(list(queue.list())) == ["a"] and queue.add(jobs("c"), "p") == 1


def test_the_jobs_of_a_plan_that_are_still_to_be_drawn_are_counted(queue: Queue) -> None:
    plan = jobs("a", "b", "c")
    queue.add([*plan, *jobs("d")], "p")
    queue.finish([(queue.claim(2)[0].id, "picture")])
    assert queue.awaiting(job.id for job in plan) == 2


def test_who_only_reads_makes_and_changes_no_file(queue: Queue, tmp_path: Path) -> None:
    nothing = Queue(tmp_path / "nowhere", to_read=True)
    assert list(nothing.list()) == [] and not nothing.paused
    queue.add(jobs("a", "b"), "p")
    queue.claim(1)
    reader = Queue(tmp_path, to_read=True)
    assert reader.counts()["drawing"] == 1
    reader.release()
    assert [job.state for job in reader.list()] == ["waiting", "waiting"]
    assert reader.counts() | {"waiting": 2, "drawing": 0} == reader.counts()
    assert queue.counts()["drawing"] == 1
    with pytest.raises(QueueDamaged, match="readonly"):
        reader.paused = True


def test_a_queue_of_the_first_version_is_read_as_it_is(tmp_path: Path) -> None:
    make_of_first_version(tmp_path)
    before = (tmp_path / FILE).read_bytes()
    [job] = Queue(tmp_path, to_read=True).list()
    assert job.seconds is None and (tmp_path / FILE).read_bytes() == before


READ_ONLY = """
import json, sys
from pathlib import Path
from sovgen.batch.queue import Queue

print(json.dumps([job.state for job in Queue(Path(sys.argv[1]), to_read=True).list()]))
"""


@pytest.mark.parametrize("left_open", [True, False])
def test_a_read_only_disk_is_read_with_a_log_and_without(tmp_path: Path, left_open: bool) -> None:
    queue = Queue(tmp_path)
    queue.add(jobs("a"), "p")
    if not left_open:
        queue.close()
    assert (tmp_path / f"{FILE}-wal").exists() == left_open
    mount = 'mount --bind "$1" "$1"; mount -o remount,ro,bind "$1"'
    assert run_boxed(READ_ONLY, tmp_path, mount) == ["waiting"]
