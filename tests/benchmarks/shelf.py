"""Shelf: what a library of given vectors takes to make, open, ask, add to and mend.

`python -m tests.benchmarks.shelf build|ask|whole|reopen|mend LIKENESSES LIBRARY` prints one line of
JSON; each is a process of its own, so that each has its own peak of memory.
"""

from __future__ import annotations

import io
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from index import Library, New, Query, catalogue, nearest, registered, selection, upkeep
from index.passing import Passing, every
from index.refresh import refresh
from tests.benchmarks import catalogued, likenesses, questions
from tests.benchmarks.questions import BOUNDS, COUNT, EVERY, UNFILTERED, Ask, K, steps_of
from tests.index.given import Given

MISSING = 10_000
HITS = 20
# A file that was written this moment may still change unseen, so each question reads it again.
MADE_JUST_NOW_S = 3
_BATCH, _KEPT = 32, 320
_ROUNDS = 3


class Told(Given):
    """An encoder whose texts are those of the likenesses, so that no model has to run."""

    def __init__(self, count: int) -> None:
        super().__init__(width=likenesses.WIDTH)
        prompts = [f"a red fox in the snow {n}" for n in range(COUNT)]
        self.taught = dict(zip(prompts, likenesses.texts(COUNT, count), strict=True))


def build(path: Path, root: Path) -> dict[str, object]:
    """The catalogue, then the snapshot from nothing."""
    start = time.perf_counter()
    library = Library.create(root, Given(width=likenesses.WIDTH))
    for first, rows in questions.blocks(path):
        catalogued.fill(library, rows, first)
    catalogued.finish(library)
    laid = time.perf_counter()
    assert refresh(library.store, force=True)
    count = _count(path)
    catalogue_bytes = library.store.path.stat().st_size
    snapshot_bytes = _weight(root / "vectors")
    return {
        "laid_s": laid - start,
        "rebuild_s": time.perf_counter() - laid,
        "catalogue_bytes": catalogue_bytes / count,
        "snapshot_bytes": snapshot_bytes / count,
        "index": library.info().index,
    }


def ask(path: Path, root: Path) -> dict[str, object]:
    """Vector time: from a direction and the numbers that pass to numbers and scores in float32."""
    library = _opened(path, root)
    true, count = questions.truth(path), _count(path)
    numbers = np.arange(1, count + 1)
    told: dict[str, object] = {}
    with library.store.reading() as connection:
        active = registered.active(connection)

        def side(passing: Passing, exact: bool = False) -> Ask:
            place = (connection, library.root, active)
            return lambda aim: nearest.nearest(*place, aim, K, passing, exact=exact).numbers

        begun = time.monotonic()
        while time.monotonic() - begun < MADE_JUST_NOW_S:
            side(every())(likenesses.texts(1, count)[0])
        told[UNFILTERED] = questions.asked(side(every()), count, true[str(EVERY)])
        told["exact"] = questions.asked(side(every(), True), count, true[str(EVERY)])
        for bound in BOUNDS:
            passing = Passing(numbers[steps_of(numbers) < bound])
            told[str(bound)] = questions.asked(side(passing), count, true[str(bound)])
    told["deleted"] = _with_deletions(library, path)
    return told


def _with_deletions(library: Library, path: Path) -> dict[str, float]:
    """Without the best two and eight others of each question: their places are taken by others."""
    true, count = questions.truth(path)[str(EVERY)], _count(path)
    gone = np.unique(np.concatenate([true[:, :2].ravel(), np.arange(1, 8 * COUNT)]))
    left = [[n for n in row if n not in set(gone.tolist())] + [0] * K for row in true]
    kept = np.array([row[:K] for row in left])
    with library.store.reading() as connection:
        active = registered.active(connection)
        place = (connection, library.root, active)
        passing = Passing(gone, others=True)
        return questions.asked(
            lambda aim: nearest.nearest(*place, aim, K, passing).numbers, count, kept
        )


def whole(path: Path, root: Path) -> dict[str, object]:
    """Whole questions, from the catalogue's opening to hits, and their parts."""
    library = _opened(path, root)
    texts = list(library.encoder.taught)  # type: ignore[attr-defined]
    narrow = "steps < 10"
    told: dict[str, object] = {
        "look": _timed(lambda t: library.search(_query(t, "pixels")), texts),
        "look, 1 %": _timed(lambda t: library.search(_query(t, "pixels", narrow)), texts),
        "both": _timed(lambda t: library.search(_query(t, "both")), texts),
        "both, 1 %": _timed(lambda t: library.search(_query(t, "both", narrow)), texts),
    }
    some = [np.random.default_rng(n).integers(1, _count(path), HITS).tolist() for n in range(COUNT)]
    with library.store.reading() as connection:
        told["hits"] = _timed(lambda n: catalogue.entries(connection, root, n), some)
        told["predicate"] = _timed(
            lambda t: selection.passing(connection, _query(t, "pixels", narrow)), texts
        )
    told["open"] = _timed(lambda _: Library.open(root), range(10))
    return told


def _query(text: str, mode: str, where: str | None = None) -> Query:
    return Query(text, k=HITS, where=where, everything=True, mode=mode)  # type: ignore[arg-type]


def reopen(path: Path, root: Path) -> dict[str, object]:
    """A fresh process after a crash: the library is opened and gives its first answer."""
    start = time.perf_counter()
    library = Library.open(root, Given(width=likenesses.WIDTH))
    opened = time.perf_counter()
    library.search(Query(like=(catalogued.id_of(1),), mode="pixels"))
    answered = time.perf_counter()
    for process, _ in upkeep._begun.values():  # what comes next is measured without it
        process.wait()
    return {"open_s": opened - start, "answer_s": answered - start}


def lose(path: Path, root: Path) -> dict[str, object]:
    """Rows are added that no snapshot holds, as when a process was killed before it wrote one."""
    library, count = _opened(path, root), _count(path)
    rows = next(likenesses.pictures(count))[1][:MISSING]
    with library.store.reading() as connection:
        [(last,)] = connection.execute("SELECT max(seq) FROM pictures").fetchall()
    catalogued.fill(library, rows[::-1], last + 1)
    return {}


def mend(path: Path, root: Path) -> dict[str, object]:
    """The snapshot is brought up to the rows."""
    library = _opened(path, root)
    start = time.perf_counter()
    assert refresh(library.store, force=True)
    return {"catch_up_s": time.perf_counter() - start}


def keep(path: Path, root: Path) -> dict[str, object]:
    """Pictures are kept, file, thumbnail, rows and vector, each batch durable before the next."""
    library = _opened(path, root)
    return {"one": _kept(library, 1, _BATCH), "many": _kept(library, _BATCH, _KEPT)}


def _kept(library: Library, size: int, count: int) -> float:
    """How many a second, in batches of a size."""
    batches = [[_new(size * 100_000 + n + m) for m in range(size)] for n in range(0, count, size)]
    start = time.perf_counter()
    for batch in batches:
        library.keep(batch)
    return count / (time.perf_counter() - start)


def _new(number: int) -> New:
    image = Image.fromarray(
        np.random.default_rng(number).integers(0, 255, (64, 64, 3), np.uint8), "RGB"
    )
    data = io.BytesIO()
    image.save(data, "PNG")
    return New(data.getvalue(), f"picture {number}", image, None)


def _timed(ask: Callable, given) -> dict[str, float]:  # noqa: ANN001
    taken, worked = [], []
    for n, one in enumerate([*list(given)[:_ROUNDS], *given]):
        start, work = time.perf_counter(), time.process_time()
        ask(one)
        if n >= _ROUNDS:  # the first ones only warm
            taken.append(1000 * (time.perf_counter() - start))
            worked.append(1000 * (time.process_time() - work))
        if questions.is_enough(taken):
            break
    return {**questions.percentiles(taken), "cpu": statistics.median(worked)}


def _opened(path: Path, root: Path) -> Library:
    return Library.open(root, Told(_count(path)))


def _count(path: Path) -> int:
    return int(path.stem.split("-")[1])


def _weight(folder: Path) -> int:
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


VERBS = {f.__name__: f for f in (build, ask, whole, reopen, lose, mend, keep)}


if __name__ == "__main__":
    verb, path, root = sys.argv[1:]
    print(json.dumps(VERBS[verb](Path(path), Path(root).absolute())))
