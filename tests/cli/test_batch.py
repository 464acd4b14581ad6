"""batch, queue: from a plan on a command line to pictures, and what is said on the way."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from index import Library, Query
from sovgen.turn import taken, turn
from tests.cli.conftest import Cli
from tests.index.boxes import run_boxed

PLAN = 'prompts = ["a {key|cup}"]\nsteps = 1\nsize = "64x64"\nseed = 3\n'


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "plan.toml"
    path.write_text(PLAN)
    return path


def rows(text: str) -> list[list[str]]:
    return [line.split("\t") for line in text.splitlines()]


def test_a_dry_run_tells_all_and_makes_nothing(cli: Cli, tmp_path: Path, plan: Path) -> None:
    root = tmp_path / "library"
    done = cli(root, "batch", "run", plan, "--count", 2, "--dry-run")
    assert done.exit_code == 0, done.stderr
    assert [row[1:] for row in rows(done.stdout)] == [
        ["new", "-", name, f"seed={seed}"] for name in ("a key", "a cup") for seed in (3, 4)
    ]
    assert "4 jobs; nothing was drawn." in done.stderr
    told = json.loads(cli(root, "batch", "run", plan, "--dry-run", "--json").stdout)
    assert [job["recipe"]["prompt"] for job in told] == ["a key", "a cup"]
    assert {job["id"] for job in told} <= {row[0] for row in rows(done.stdout)}
    assert not root.exists()


def test_a_dry_run_tells_what_its_jobs_name_and_nobody_has(cli: Cli, tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text(
        'prompts = ["a fox"]\n[matrix]\nmodel = ["sovgen-mini", "gone"]\nvae = ["lost"]\n'
    )
    done = cli(tmp_path / "library", "batch", "run", plan, "--dry-run")
    assert done.exit_code == 1
    assert len(done.stdout.splitlines()) == 2
    assert "'gone'" in done.stderr and "'lost'" in done.stderr
    done = cli(tmp_path / "library", "batch", "run", plan, "--dry-run", "--json")
    assert done.exit_code == 1 and len(json.loads(done.stdout)) == 2


def test_a_dry_run_shows_in_what_its_jobs_differ(cli: Cli, tmp_path: Path) -> None:
    def told(name: str, text: str, *words: object) -> list[str]:
        (tmp_path / name).write_text(text)
        done = cli(tmp_path / "library", "batch", "run", tmp_path / name, "--dry-run", *words)
        assert done.exit_code == 0, done.stderr
        return ["; ".join(row[4:]) for row in rows(done.stdout)]

    matrix = '[matrix]\nsteps = [1, 2]\nsize = ["64x64", "96x64"]\nguidance = [2]\n'
    assert told("m.toml", f'prompts = ["a key"]\n{matrix}') == [
        f"steps={steps} width={width} height=64" for steps in (1, 2) for width in (64, 96)
    ]
    assert told("p.csv", "prompt,steps,width\na key,1,64\na cup,2,64\na hat,,64\n") == [
        "steps=1", "steps=2", ""
    ]  # fmt: skip
    negatives = told("n.toml", 'prompts = ["a key"]\nnegative = "{fog|rain}"\n')
    assert negatives == ["negative=fog", "negative=rain"]
    assert told("one.txt", "a key\n") == [""]


def test_one_job_is_told_as_one(cli: Cli, library: Path) -> None:
    (library.parent / "p.csv").write_text("prompt,width\na key,60\n")
    words = ("batch", "run", library.parent / "p.csv", "--set", "steps=1", "--set", "height=64")
    assert "1 job; nothing was drawn." in cli(library, *words, "--dry-run").stderr
    done = cli(library, *words)
    assert "1 job; 1 to be drawn." in done.stderr and "1 of 1 job failed;" in done.stderr
    assert "Paused; 0 wait." in cli(library, "queue", "pause").stderr
    assert "Waiting again: 1." in cli(library, "queue", "retry").stderr
    assert "Paused; 1 waits." in cli(library, "queue", "pause").stderr


def test_a_queue_in_which_nothing_waits_says_so(cli: Cli, library: Path) -> None:
    done = cli(library, "queue", "run")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "Nothing waits to be drawn.\n")
    assert cli(library, "queue", "run", "--json").stdout == "[]\n"


def test_what_is_no_plan_is_told_with_what_is_one(cli: Cli, drawn: Path, tmp_path: Path) -> None:
    picture = Library.open(drawn).list(Query(k=1))[0].path
    done = cli(drawn, "batch", "run", picture, "--dry-run")
    assert done.exit_code == 1 and "is a picture, not a plan" in done.stderr
    assert "A plan is TOML" in done.stderr.splitlines()[-1]
    (tmp_path / "plan.toml").write_text('prompts = ["a key"]\nsteps = "many"\n')
    done = cli(drawn, "batch", "run", tmp_path / "plan.toml", "--dry-run")
    assert done.exit_code == 1 and "must be a whole number, not 'many'" in done.stderr
    assert done.stderr.splitlines()[-1] == "Hint: Write it without quotes, from 1 to 1000."


def test_jobs_become_pictures_and_a_second_run_draws_nothing(
    cli: Cli, library: Path, plan: Path
) -> None:
    done = cli(library, "batch", "run", plan)
    assert done.exit_code == 0, done.stderr
    kept = {entry.id: entry for entry in Library.open(library).list(Query(k=2))}
    assert {row[2] for row in rows(done.stdout)} == set(kept)
    assert {(e.prompt, e.seed, e.width) for e in kept.values()} == {
        ("a key", 3, 64),
        ("a cup", 3, 64),
    }
    again = cli(library, "batch", "run", plan, "--json")
    assert (json.loads(again.stdout), again.exit_code) == ([], 0)
    assert "2 jobs; 0 to be drawn." in again.stderr
    listed = json.loads(cli(library, "queue", "list", "--state", "done", "--json").stdout)
    assert [job["plan"] for job in listed] == ["plan.toml"] * 2
    assert all(job["seconds"] > 0 and job["left"] is None for job in listed)
    picture = listed[0]["picture"][:8]
    told = cli(library, "queue", "retry", listed[0]["id"]).stderr
    assert "Waiting again: 0." in told and f"To draw anew, first: sovgen delete {picture}" in told
    assert cli(library, "delete", picture).exit_code == 0
    assert cli(library, "queue", "retry", listed[0]["id"]).stderr == "Waiting again: 1.\n"
    assert re.search(r"1 waiting, 1 done; about \d+ s left", cli(library, "queue", "list").stderr)
    cli(library, "queue", "run")
    assert cli(library, "queue", "list").stdout == ""


def test_what_fails_is_told_with_its_reason_and_the_exit_code(cli: Cli, library: Path) -> None:
    prompts = library.parent / "prompts.csv"
    prompts.write_text("prompt,width\na key,60\na cup,64\n")
    done = cli(library, "batch", "run", prompts, "--set", "steps=1", "--set", "height=64")
    assert done.exit_code == 1
    assert sorted(row[1] for row in rows(done.stdout)) == ["done", "failed"]
    assert "1 of 2 jobs failed; the first: The size 60x64 is off the grid" in done.stderr
    assert "sovgen queue retry" in done.stderr
    [[job, state, picture, reason]] = rows(cli(library, "queue", "list").stdout)
    assert (state, picture) == ("failed", "-") and "off the grid" in reason
    assert "Waiting again: 1." in cli(library, "queue", "retry").stderr
    assert "Waiting again: 0; left alone: 1 waiting." in cli(library, "queue", "retry", job).stderr
    [done_one] = json.loads(cli(library, "queue", "list", "--state", "done", "--json").stdout)
    told = cli(library, "queue", "cancel", done_one["id"], job[:6]).stderr
    assert "Cancelled 1; left alone: 1 done." in told
    told = cli(library, "queue", "cancel", job, done_one["id"]).stderr
    assert "Cancelled 0; left alone: 1 cancelled, 1 done." in told
    assert cli(library, "queue", "run").exit_code == 0


def test_the_order_is_what_was_asked_for(cli: Cli, library: Path, plan: Path) -> None:
    from sovgen.batch.plan import read_plan
    from sovgen.batch.queue import Queue

    Queue(library).add(read_plan(plan, {}, lambda name: ()).jobs(), "plan.toml")

    def prompts() -> list[str]:
        return [row[3] for row in rows(cli(library, "queue", "list").stdout)]

    [key, cup] = [row[0] for row in rows(cli(library, "queue", "list").stdout)]
    assert prompts() == ["a key", "a cup"]
    assert "Moved 1." in cli(library, "queue", "reorder", cup[:8]).stderr
    assert prompts() == ["a cup", "a key"]
    assert "Moved 1." in cli(library, "queue", "reorder", cup, cup[:8]).stderr
    cli(library, "queue", "reorder", cup, "--last")
    assert prompts() == ["a key", "a cup"]
    cli(library, "queue", "reorder", cup, "--priority", 2)
    assert prompts() == ["a cup", "a key"]
    assert "Paused; 2 wait." in cli(library, "queue", "pause").stderr
    assert "2 waiting; paused." in cli(library, "queue", "list").stderr
    assert "Cancelled 2." in cli(library, "queue", "cancel", "--all").stderr
    beyond = ("reorder", key, "--priority", 10**20)
    for wrong in (("cancel",), ("cancel", key, "--all"), ("reorder",), beyond):
        assert cli(library, "queue", *wrong).exit_code == 2
    assert cli(library, "batch", "run", plan, "--priority", -(10**20)).exit_code == 2
    assert "No job begins with 'zzzz'" in cli(library, "queue", "retry", "zzzz").stderr


@pytest.mark.parametrize(
    ("text", "words", "message"),
    [
        ("{a|b|c|d|e|f|g|h|i|j}" * 4, (), "stands for 10,000 pictures"),
        ("{a|b|c|d|e|f|g|h|i|j}" * 7, ("--yes",), "10,000,000 pictures; 1,000,000 are the most"),
        ("", (), "holds no prompt"),
        ("a key", ("--set", "step=3"), "no field 'step'"),
        ("a key", ("--set", "steps=many"), "steps is 'many', not int"),
        ("a key", ("--set", "steps=0"), "The steps 0 is out of range"),
    ],
)
def test_a_plan_that_cannot_be_meant_makes_no_library(
    cli: Cli, tmp_path: Path, text: str, words: tuple[str, ...], message: str
) -> None:
    (tmp_path / "p.txt").write_text(text)
    done = cli(tmp_path / "library", "batch", "run", tmp_path / "p.txt", *words)
    assert done.exit_code == 1 and message in done.stderr
    assert len(done.stderr.splitlines()) == 2
    assert not (tmp_path / "library").exists()


def test_repeated_prompts_are_drawn_once_and_said(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("a key\na cup\na key\n")
    done = cli(tmp_path / "library", "batch", "run", tmp_path / "p.txt", "--dry-run")
    assert len(rows(done.stdout)) == 2
    assert (
        cli(tmp_path / "library", "batch", "run", tmp_path / "p.txt", "--set", "x").exit_code == 2
    )
    assert "2 jobs (1 repeated one is drawn once)" in done.stderr


def test_a_run_waits_for_another_and_ctrl_c_keeps_what_was_drawn(
    cli: Cli, library: Path, environ: dict[str, str], plan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["batch", "run", str(plan), "--count", "200", "--yes", "--exact"]
    command = [sys.executable, "-m", "sovgen", "--library", str(library), *words]
    monkeypatch.setenv("SOVGEN_CACHE", environ["SOVGEN_CACHE"])
    with turn("cpu"):
        process = subprocess.Popen(
            command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert process.stdout and process.stderr
        assert process.stderr.readline() == "400 jobs; 400 to be drawn.\n"
        assert process.stderr.readline() == "Waiting: another run is drawing on cpu.\n"
    assert process.stdout.readline().split("\t")[1] == "done"
    process.send_signal(signal.SIGINT)
    out, err = process.stdout.read(), process.stderr.read()
    assert process.wait() == 130 and "Traceback" not in err
    drawn = 1 + len(out.splitlines())
    assert f"Stopped; drawn and kept: {drawn}, still to draw: {400 - drawn}." in err
    kept = Library.open(library).list(Query(k=None, where="width = 64"))
    assert len(kept) == drawn and 0 < drawn < 400
    assert f"{400 - drawn} waiting, {drawn} done" in cli(library, "queue", "list").stderr


def test_what_a_killed_run_was_drawing_waits(cli: Cli, library: Path, plan: Path) -> None:
    from sovgen.batch.plan import read_plan
    from sovgen.batch.queue import Queue

    queue = Queue(library)
    queue.add(read_plan(plan, {}, lambda name: ()).jobs(), "plan.toml")
    assert len(queue.claim(2)) == 2

    def states() -> list[str]:
        return [row[1] for row in rows(cli(library, "queue", "list").stdout)]

    with taken(queue.seat, "is drawing this queue"):
        assert states() == ["drawing", "drawing"]
        assert "Cancelled 0." in cli(library, "queue", "cancel", "--all").stderr
    assert states() == ["waiting", "waiting"]
    dry = cli(library, "batch", "run", plan, "--dry-run").stdout
    assert [row[1] for row in rows(dry)] == ["waiting", "waiting"]
    assert queue.counts()["drawing"] == 2, "looking changes nothing"
    assert "Cancelled 2." in cli(library, "queue", "cancel", "--all").stderr


def test_a_plan_that_goes_on_counts_what_waits(cli: Cli, library: Path, plan: Path) -> None:
    from sovgen.batch.plan import read_plan
    from sovgen.batch.queue import Queue

    queue = Queue(library)
    queue.add(read_plan(plan, {}, lambda name: ()).jobs(), "plan.toml")
    queue.claim(1)
    assert "2 jobs; 2 to be drawn." in cli(library, "batch", "run", plan).stderr


READ_ONLY = """
import json, sys
from pathlib import Path
from click.testing import CliRunner
from sovgen.cli.main import program

def told(*words):
    done = CliRunner().invoke(program, ["--library", f"{sys.argv[1]}/library", *words])
    return [done.exit_code, done.stdout or done.stderr]

plan = f"{sys.argv[1]}/plan.toml"
print(json.dumps([told("queue", "list"), told("batch", "run", plan, "--dry-run")]))
"""


def test_a_read_only_library_tells_its_jobs(
    library: Path,
    plan: Path,
    tmp_path: Path,
    environ: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from sovgen.batch.plan import read_plan
    from sovgen.batch.queue import Queue

    for name in ("SOVGEN_CONFIG", "SOVGEN_CACHE"):
        monkeypatch.setenv(name, environ[name])
    queue = Queue(library)
    queue.add(read_plan(plan, {}, lambda name: ()).jobs(), "plan.toml")
    queue.close()
    mount = 'mount --bind "$1" "$1"; mount -o remount,ro,bind "$1"'
    for code, text in run_boxed(READ_ONLY, tmp_path, mount):
        assert code == 0, text
        assert [row[1] for row in rows(text)] == ["waiting", "waiting"]


def test_a_long_prompt_is_shortened_on_a_line_and_whole_in_json(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("key " * 50_000)
    words = (tmp_path / "library", "batch", "run", tmp_path / "p.txt", "--dry-run")
    [row] = rows(cli(*words).stdout)
    assert row[3].startswith("key key") and row[3].endswith("key…") and len(row[3]) <= 80
    [job] = json.loads(cli(*words, "--json").stdout)
    assert len(job["recipe"]["prompt"]) > 100_000
