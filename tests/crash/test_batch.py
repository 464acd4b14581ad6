"""Killed batches: kill -9 at any instant, run the same command again, and the same set is there.

Ten kills at random instants, and two where pictures are drawn together; fifty and ten with
`SOVGEN_SOAK`.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from PIL import Image, ImageChops

from index import Library, Query
from sovgen.batch.job import Job
from sovgen.batch.plan import read_plan
from sovgen.batch.queue import Queue
from tests.index.boxes import ROOT

KILLS = 50 if "SOVGEN_SOAK" in os.environ else 10
TOGETHER = KILLS // 5
POINTS = ("queueing:1", "claimed:2", "committed:1", "marking:2")
EXACT = "--exact"
FEW = ("--limit", "4")
PLAN = """
prompts = ["a fox {1|2|3|4|5}", "a hen"]
width = 32
height = 32
sampler = "ddim"
guidance = 1
model = "models/sd1"
dtype = "float32"
device = "cpu"
[matrix]
steps = [1, 2]
"""


class Drainers:
    """Processes that run the program, one after the other."""

    def __init__(self, folder: Path) -> None:
        environment = os.environ | {"OMP_NUM_THREADS": "1", "SOVGEN_CACHE": str(folder / "cache")}
        environment["SOVGEN_CONFIG"] = str(folder / "config.toml")
        self.log = folder / "log"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.drainer"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._read() == "ready"

    def start(self, *arguments: object, fault: str | None = None) -> int:
        """The process id of a child that runs the program."""
        words = [str(argument) for argument in arguments]
        self._say(json.dumps([words, fault, str(self.log)]))
        return int(self._read())

    def wait(self) -> int:
        """The exit code of the child that was started last; negative for a signal."""
        self._say("wait")
        return int(self._read())

    def _say(self, line: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def _read(self) -> str:
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, self.log.read_text() if self.log.exists() else "it never came up"
        return line.strip()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plan, its tiny model, and an empty library with a tiny CLIP."""
    from index.encoder import load_encoder
    from tests import tiny
    from tests.tiny_clip import open_clip_folder

    folder = tmp_path_factory.mktemp("batch")
    (folder / "config.toml").touch()
    (folder / "plan.toml").write_text(PLAN)
    tiny.sd1().save_pretrained(folder / "models" / "sd1")
    Library.create(folder / "empty", load_encoder(open_clip_folder(folder / "clip")))
    return folder


@pytest.fixture(scope="module")
def drainers(folder: Path) -> Iterator[Drainers]:
    started = Drainers(folder)
    yield started
    assert started.process.stdin
    started.process.stdin.close()
    assert started.process.wait() == 0


@pytest.fixture(scope="module")
def undisturbed(folder: Path, drainers: Drainers) -> tuple[dict[str, str], float]:
    """The pictures of a run that nobody disturbs, by their jobs, and how long it took."""
    root = shutil.copytree(folder / "empty", folder / "undisturbed")
    began = time.monotonic()
    drainers.start(*command(root, folder), EXACT)
    assert drainers.wait() == 0, drainers.log.read_text()
    return pictures(root, folder), time.monotonic() - began


def command(root: Path, folder: Path) -> tuple[object, ...]:
    return ("--library", root, "batch", "run", folder / "plan.toml")


def jobs(folder: Path, limit: int | None) -> list[Job]:
    return list(read_plan(folder / "plan.toml", {}, lambda name: ()).jobs(limit))


def pictures(root: Path, folder: Path, limit: int | None = None) -> dict[str, str]:
    """The pictures by their jobs; fails when one is lacking, twice, or not what the queue says."""
    library, wanted = Library.open(root), [job.id for job in jobs(folder, limit)]
    made = library.made_for(wanted)
    assert set(made) == set(wanted)
    entries = library.list(Query(k=None))
    assert {entry.id for entry in entries} == set(made.values())
    for entry in entries:
        assert len(library.makings(entry.id)) == 1
        assert entry.path.is_file()
    queue = Queue(root)
    assert {job.id: job.picture for job in queue.list("done")} == made
    assert sum(queue.counts().values()) == len(wanted)
    queue.close()
    assert {difference.kind for difference in library.verify()} <= {"orphan"}
    return made


def killed(
    folder: Path, drainers: Drainers, kills: int, wait: float, *words: str
) -> Iterator[Path]:
    """Libraries that are full in the end, from the same command again and again.

    A full one makes place for an empty one, until there were so many kills.
    """
    chance, full = random.Random(kills), 0
    name = "-".join(["killed", *words])
    while kills:
        root = folder / f"{name}{full}"
        if not root.exists():
            shutil.copytree(folder / "empty", root)
        child = drainers.start(*command(root, folder), *words)
        time.sleep(chance.uniform(0, wait))
        os.kill(child, signal.SIGKILL)
        code = drainers.wait()
        assert code in (0, -signal.SIGKILL), drainers.log.read_text()
        kills -= code != 0
        if code == 0:
            full += 1
            yield root
    drainers.start(*command(root, folder), *words)
    assert drainers.wait() == 0, drainers.log.read_text()
    yield root


def assert_alike(
    root: Path, made: Mapping[str, str], folder: Path, exact: Mapping[str, str]
) -> None:
    """Every job's picture is that of its recipe, and but for rounding the one drawn alone."""
    library, alone = Library.open(root), Library.open(folder / "undisturbed")
    recipes = {job.id: job.recipe for job in jobs(folder, None)}
    for job, id in made.items():
        entry, other = library.get(id), alone.get(exact[job])
        told = (entry.prompt, entry.seed, entry.steps)
        assert told == (recipes[job].prompt, recipes[job].seed, recipes[job].steps)
        with Image.open(entry.path) as one, Image.open(other.path) as two:
            apart = ImageChops.difference(one, two)
        assert max(high for _, high in apart.getextrema()) <= 1, job


def test_random_kills_change_nothing(
    folder: Path, drainers: Drainers, undisturbed: tuple[dict[str, str], float]
) -> None:
    expected, seconds = undisturbed
    sets = 0
    for root in killed(folder, drainers, KILLS, 0.4 * seconds, EXACT):
        assert pictures(root, folder) == expected
        sets += 1
    print(f"{KILLS} kills at random instants, {sets} sets: each the undisturbed one")


def test_kills_while_pictures_are_drawn_together_draw_every_job_once(
    folder: Path, drainers: Drainers, undisturbed: tuple[dict[str, str], float]
) -> None:
    """Those that are left make another batch than before the kill, which rounds otherwise."""
    expected, seconds = undisturbed
    for root in killed(folder, drainers, TOGETHER, 0.4 * seconds):
        assert_alike(root, pictures(root, folder), folder, expected)


@pytest.mark.parametrize(
    ("point", "words"), [*((point, (EXACT,)) for point in POINTS), ("committed:1", ())]
)
def test_a_kill_at_a_named_point_changes_nothing(
    folder: Path,
    drainers: Drainers,
    undisturbed: tuple[dict[str, str], float],
    point: str,
    words: tuple[str, ...],
) -> None:
    root = folder / "-".join([point.replace(":", "-"), *words])
    shutil.copytree(folder / "empty", root)
    drainers.start(*command(root, folder), *words, *FEW, fault=point)
    assert drainers.wait() == -signal.SIGKILL, "the point was never reached"
    drainers.start(*command(root, folder), *words, *FEW)
    assert drainers.wait() == 0, drainers.log.read_text()
    few = pictures(root, folder, int(FEW[1]))
    if words:
        assert few.items() <= undisturbed[0].items()
    assert_alike(root, few, folder, undisturbed[0])
