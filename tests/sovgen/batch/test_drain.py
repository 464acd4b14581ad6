"""Draining: every job becomes one picture, whatever fails, changes or was drawn before."""

from __future__ import annotations

import subprocess
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from index import Library, Query
from index.record import read_picture
from sovgen.batch.drain import Outcome, drain
from sovgen.batch.job import Job, job_from
from sovgen.batch.queue import Queue
from sovgen.errors import Interrupted
from sovgen.generate import backend
from sovgen.studio import Studio
from tests.sovgen.batch.conftest import JobsOf
from tests.sovgen.test_turn import line, visit


def kept(library: Library) -> dict[int, str]:
    """The ids of the library's pictures by their seeds; fails when a seed has two."""
    entries = library.list(Query(k=None))
    assert len({entry.seed for entry in entries}) == len(entries)
    return {entry.seed or 0: entry.id for entry in entries}


def test_every_job_becomes_a_picture_that_names_it(
    queue: Queue, library: Library, jobs_of: JobsOf
) -> None:
    jobs = [*jobs_of(3), *jobs_of(2, seed=3, steps=2), *jobs_of(2, seed=5)]
    queue.add(jobs, "p")
    outcomes = list(drain(queue, library))
    assert {o.job: o.picture for o in outcomes} == library.made_for([job.id for job in jobs])
    assert {o.picture for o in outcomes} == set(kept(library).values())
    assert [job.state for job in queue.list()] == ["done"] * 7
    assert library.verify() == []
    assert list(drain(queue, library)) == []


def test_jobs_of_one_shape_are_drawn_together_and_none_knows_its_company(
    queue: Queue, library: Library, jobs_of: JobsOf
) -> None:
    alike, others = jobs_of(5), jobs_of(5, seed=5, steps=2)
    queue.add([job for pair in zip(alike, others, strict=True) for job in pair], "p")
    steps: list[tuple[int, int]] = []
    list(drain(queue, library, on_step=lambda i, n: steps.append((i, n))))
    assert Counter(steps) == {(1, 1): 1, (1, 2): 1, (2, 2): 1}, "one batch of each shape"
    studio = Studio(library, jobs_of(1)[0].recipe.model, device="cpu", dtype="float32")
    for entry in library.list(Query(k=None)):
        again = np.asarray(studio.remake(entry.id).image, np.int16)
        together = np.asarray(read_picture(entry.path)[1].convert("RGB"), np.int16)
        assert np.mean(np.abs(again - together) > 1) <= 0.001, entry.seed


def test_one_that_fails_says_why_and_the_others_go_on(
    queue: Queue, library: Library, jobs_of: JobsOf
) -> None:
    good = jobs_of(5)
    off_grid = jobs_of(1, seed=10, width=28)
    no_model = jobs_of(2, seed=20, model="no-such-model")
    nobody = jobs_of(1, seed=30, init="abcdefgh", strength=0.5)
    queue.add([*no_model, *good[:2], *off_grid, *good[2:], *nobody], "p")
    reasons = {o.job: o.reason for o in drain(queue, library) if o.reason}
    assert "off the grid" in str(reasons[off_grid[0].id])
    assert "no-such-model" in str(reasons[no_model[1].id])
    assert nobody[0].id in reasons
    assert sorted(kept(library)) == [0, 1, 2, 3, 4]
    failed = {job.id: job.reason for job in queue.list("failed")}
    assert failed == reasons
    assert queue.retry(None) == 4


def test_a_run_that_goes_on_is_asked_by_the_backend_that_it_began_with(
    queue: Queue, library: Library, jobs_of: JobsOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of the jobs together are just enough for OpenVINO, the three that are left are not."""
    monkeypatch.setattr(backend, "_LARGE", 0)
    monkeypatch.setattr(backend, "_REPAID", 40)
    jobs = jobs_of(40)
    queue.add(jobs, "p")
    queue.finish([(job.id, "0" * 32) for job in jobs[3:]])
    assert len(list(drain(queue, library))) == 3
    assert {e.settings.get("backend") for e in library.list(Query(k=None))} == {"openvino"}


def test_a_job_that_cannot_be_read_stops_no_other(
    queue: Queue, library: Library, jobs_of: JobsOf
) -> None:
    [first, second] = jobs_of(2)
    later = Job(first.recipe, first.text.replace('"seed":', '"of_a_later_version":1,"seed":'))
    queue.add([later, second], "p")
    outcomes = {o.job: o for o in drain(queue, library)}
    assert "of_a_later_version" in str(outcomes[later.id].reason)
    assert outcomes[second.id].picture and list(queue.list("waiting")) == []
    assert [job.id for job in queue.list("failed")] == [later.id]


def test_a_broken_picture_is_told_from_its_sound_neighbours(
    queue: Queue, library: Library, jobs_of: JobsOf, black: Path
) -> None:
    broken = jobs_of(3, model=str(black))
    queue.add([*broken, *jobs_of(2, seed=5)], "p")
    outcomes = list(drain(queue, library))
    assert [o.job for o in outcomes if o.reason] == [job.id for job in broken]
    assert all("black" in (job.reason or "") for job in queue.list("failed"))
    assert sorted(kept(library)) == [5, 6]


@pytest.fixture(scope="module")
def black(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that draws nothing but black."""
    import torch

    from tests import tiny

    pipe = tiny.sd1()
    with torch.no_grad():
        pipe.vae.decoder.conv_out.weight.zero_()
        pipe.vae.decoder.conv_out.bias.fill_(-9)
    folder = tmp_path_factory.mktemp("black") / "black"
    pipe.save_pretrained(folder)
    return folder


def test_what_was_committed_before_a_kill_is_not_drawn_again(
    queue: Queue, library: Library, jobs_of: JobsOf
) -> None:
    """As a kill between the library's commit and the queue's mark leaves it."""
    jobs = jobs_of(4)
    queue.add(jobs, "p")
    first = queue.claim(2)
    names = {job.recipe.seed: job.id for job in first}
    studio = Studio(library, jobs[0].recipe.model, device="cpu", dtype="float32")
    made = studio.make(
        [job.recipe for job in first], record=lambda picture: {"job": names[picture.recipe.seed]}
    )
    before = [one.entry for one in made]
    batches: list[int] = []
    outcomes = list(drain(queue, library, on_step=lambda i, n: batches.append(i)))
    assert {o.job for o in outcomes} == {job.id for job in jobs}
    assert len(batches) == 1, "the two that are left, together"
    assert {entry.id for entry in before if entry} < set(kept(library).values())


def test_a_queue_that_is_lost_is_made_again_from_the_plan_and_nothing_is_drawn(
    queue: Queue, library: Library, jobs_of: JobsOf
) -> None:
    queue.add(jobs_of(3), "p")
    list(drain(queue, library))
    queue.close()
    queue.path.unlink()
    again = Queue(library.root)
    again.add(jobs_of(3), "p")
    steps: list[int] = []
    assert len(list(drain(again, library, on_step=lambda i, n: steps.append(i)))) == 3
    assert steps == [] and again.counts()["done"] == 3


def test_a_deleted_picture_is_drawn_again_only_when_it_is_asked_for(
    queue: Queue, library: Library, jobs_of: JobsOf
) -> None:
    [job] = jobs_of(1)
    queue.add([job], "p")
    [picture] = [outcome.picture for outcome in drain(queue, library)]
    library.delete([str(picture)])
    queue.add([job], "p")
    assert list(drain(queue, library)) == [] and kept(library) == {}
    queue.retry([job.id])
    assert [o.picture for o in drain(queue, library)] == [picture]
    assert list(kept(library).values()) == [picture]


def test_stopping_by_hand_keeps_what_is_finished_and_lets_the_rest_wait(
    queue: Queue, library: Library, jobs_of: JobsOf
) -> None:
    queue.add(jobs_of(6), "p")
    seen: list[int] = []

    def stop_in_the_third(step: int, _: int) -> None:
        seen.append(step)
        if len(seen) == 3:
            raise KeyboardInterrupt

    outcomes: list[Outcome] = []
    with pytest.raises(Interrupted):
        outcomes.extend(drain(queue, library, exact=True, on_step=stop_in_the_third))
    assert len(kept(library)) == 2
    assert queue.counts() | {"done": 2, "waiting": 4, "drawing": 0} == queue.counts()
    list(drain(queue, library, exact=True))
    assert sorted(kept(library)) == [0, 1, 2, 3, 4, 5]


def test_pausing_and_cancelling_act_at_the_next_batch_and_lose_nothing_drawn(
    queue: Queue, library: Library, jobs_of: JobsOf
) -> None:
    jobs = jobs_of(6)
    queue.add(jobs, "p")
    other, steps = Queue(library.root), list[int]()

    def meanwhile(step: int, _: int) -> None:
        steps.append(step)
        if len(steps) == 2:
            other.cancel([jobs[4].id])
            other.paused = True

    list(drain(queue, library, exact=True, on_step=meanwhile))
    assert sorted(kept(library)) == [0, 1] and queue.counts()["waiting"] == 3
    queue.paused = False
    list(drain(queue, library, exact=True))
    assert sorted(kept(library)) == [0, 1, 2, 3, 5]
    assert job_from(next(queue.list("cancelled")).recipe).recipe.seed == 4


def test_what_is_more_urgent_comes_next(queue: Queue, library: Library, jobs_of: JobsOf) -> None:
    queue.add(jobs_of(4), "p")
    other, order = Queue(library.root), list[str]()
    urgent = jobs_of(1, seed=9, steps=2)

    def meanwhile(step: int, steps: int) -> None:
        order.append(f"{step}/{steps}")
        if len(order) == 2:
            other.add(urgent, "p", priority=1)

    list(drain(queue, library, exact=True, on_step=meanwhile))
    assert order == ["1/1", "1/1", "1/2", "2/2", "1/1", "1/1"]
    assert len(kept(library)) == 5


def test_whoever_waits_for_the_device_comes_between_two_batches(
    queue: Queue,
    library: Library,
    jobs_of: JobsOf,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SOVGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("sovgen.batch.drain._SHARE_S", 0.0)
    queue.add(jobs_of(3), "p")
    steps, others = list[str](), list[subprocess.Popen[str]]()

    def meanwhile(step: int, _: int) -> None:
        steps.append(others[0].communicate()[0] if len(steps) == 1 else "")
        if not others:
            others.append(visit("other", 1, tmp_path / "log"))
            assert line(others[0]) == "Waiting: another run is drawing on cpu."

    list(drain(queue, library, exact=True, on_step=meanwhile))
    assert steps == ["", "in\n", ""] and sorted(kept(library)) == [0, 1, 2]


def test_trouble_with_the_library_ends_the_run_and_blames_no_job(
    queue: Queue, library: Library, jobs_of: JobsOf
) -> None:
    queue.add(jobs_of(2), "p")
    placed = library.root / "pictures"
    placed.rename(library.root / "away")
    placed.write_text("in the way")
    with pytest.raises((OSError, Exception), match="pictures|directory|exists"):
        list(drain(queue, library))
    assert queue.counts()["waiting"] == 2
    placed.unlink()
    (library.root / "away").rename(placed)
    assert len(list(drain(queue, library))) == 2
