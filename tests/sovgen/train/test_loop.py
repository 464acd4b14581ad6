"""The loop: exact resume after a real kill, averages, stops, and what a full disk costs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sovgen.errors import BadCheckpoint, TrainingDiverged
from sovgen.train.checkpoint import SHARD_BYTES, latest_checkpoint, read_checkpoint
from sovgen.train.ema import Ema
from sovgen.train.loop import train
from sovgen.train.metrics import read_metrics
from sovgen.train.plan import Loop
from tests.sovgen.train.full_disk import run_on_small_disk
from tests.sovgen.train.tiny import Line

LOOP = Loop(
    batch=8, learning_rate=0.05, warm_up=5, steps=40, half_life=100, average_every=2, log_every=1
)
CHILD = """
import os, signal, sys
from pathlib import Path
from dataclasses import replace
from sovgen.train.loop import train
from tests.sovgen.train.test_loop import LOOP
from tests.sovgen.train.tiny import Line

def killed(progress):
    if progress.step == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)

train(Line(), Path(sys.argv[1]), replace(LOOP, checkpoint_minutes=1e-9), minutes=1, on_step=killed)
"""

STOPPED = """
import os, signal, sys
from pathlib import Path
from sovgen.errors import Interrupted
from sovgen.train.loop import train
from tests.sovgen.train.test_loop import LOOP
from tests.sovgen.train.tiny import Line

asked = signal.Signals[sys.argv[2]]
before = signal.getsignal(asked)

def press(progress):
    if progress.step == 3:
        os.kill(os.getpid(), asked)

try:
    train(Line(), Path(sys.argv[1]), LOOP, minutes=1, on_step=press)
except Interrupted as stopped:
    print(stopped.message)
print("as before" if signal.getsignal(asked) is before else "otherwise")
"""


def losses(run: Path) -> list[tuple[object, object]]:
    return [(m["step"], m["loss"]) for m in read_metrics(run) if "loss" in m]


def test_a_killed_training_goes_on_with_the_very_same_losses(tmp_path: Path) -> None:
    train(Line(), tmp_path / "whole", LOOP, minutes=1)
    broken = tmp_path / "broken"
    for at in ("17", "31"):
        done = subprocess.run([sys.executable, "-c", CHILD, str(broken), at], check=False)
        assert done.returncode == -signal.SIGKILL
    notices: list[str] = []
    train(Line(), broken, LOOP, minutes=1, on_notice=notices.append)
    assert notices == ["Goes on from step 30, 240 samples seen."]
    assert losses(broken) == losses(tmp_path / "whole")
    ends = [read_checkpoint(latest_checkpoint(r) or r) for r in (broken, tmp_path / "whole")]
    for group in ("weights", "average", "optimiser"):
        for name, tensor in ends[0].tensors[group].items():
            assert torch.equal(tensor, ends[1].tensors[group][name]), name


def test_it_learns_and_writes_down_what_it_does(tmp_path: Path) -> None:
    objective = Line()
    last = train(objective, tmp_path, replace(LOOP, steps=200), minutes=1)
    assert (last.step, last.samples) == (200, 1600)
    told = read_metrics(tmp_path)
    assert told[0]["learning_rate"] == pytest.approx(0.01)
    assert told[4]["learning_rate"] == pytest.approx(0.05)
    assert told[199]["loss"] < 0.1 * told[0]["loss"]
    assert {"rate", "gradient", "samples", "time"} <= told[0].keys()
    assert told[-1]["held_out"]["weight"] == pytest.approx(2.7, abs=0.5)
    assert (tmp_path / "sheets" / "00000200.png").exists()
    assert objective.written == 1600


def test_a_cool_down_ends_in_nought() -> None:
    loop = Loop(learning_rate=1.0, warm_up=2, cool_down=10, steps=100)
    assert [loop.rate(s) for s in (0, 1, 50, 90, 95, 100)] == [0.5, 1, 1, 1, 0.5, 0]


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    loop = replace(LOOP, checkpoint_minutes=1e-9)
    with pytest.raises(TrainingDiverged, match="step 6 is nan.*step-00000006 stands"):
        train(Line(poison_at=7), tmp_path, loop, minutes=1)
    kept = read_checkpoint(latest_checkpoint(tmp_path) or tmp_path)
    assert kept.state["step"] == 6
    assert all(t.isfinite().all() for g in kept.tensors.values() for t in g.values())
    assert train(Line(), tmp_path, LOOP, minutes=1).step == 40


@pytest.mark.parametrize("asked", [signal.SIGINT, signal.SIGTERM])
def test_being_stopped_finishes_the_step_and_keeps_everything(
    tmp_path: Path, asked: signal.Signals
) -> None:
    """In a process of its own, so that what it is told goes to nobody else."""
    command = [sys.executable, "-c", STOPPED, str(tmp_path), asked.name]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout == f"Stopped at step 3; the checkpoint is in {tmp_path}.\nas before\n"
    assert (latest_checkpoint(tmp_path) or tmp_path).name == "step-00000003"
    assert train(Line(), tmp_path, LOOP, minutes=1).step == 40


def test_the_time_given_ends_a_run(tmp_path: Path) -> None:
    last = train(Line(), tmp_path, replace(LOOP, steps=0), minutes=0.002)
    assert last.step > 0
    assert (latest_checkpoint(tmp_path) or tmp_path).name == f"step-{last.step:08d}"


def test_a_checkpoint_of_another_architecture_is_refused(tmp_path: Path) -> None:
    train(Line(width=1), tmp_path, LOOP, minutes=1)
    with pytest.raises(BadCheckpoint, match=r"1.weight is \(1, 1\) there and \(1, 2\) here"):
        train(Line(width=2), tmp_path, LOOP, minutes=1)


def test_a_checkpoint_of_another_objective_is_refused(tmp_path: Path) -> None:
    train(Line(), tmp_path, LOOP, minutes=1)
    other = Line()
    other.name = "curve"
    with pytest.raises(BadCheckpoint, match="a training of line, not of curve"):
        train(other, tmp_path, LOOP, minutes=1)


@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, damage: str) -> None:
    train(Line(), tmp_path, LOOP, minutes=1)
    shard = (latest_checkpoint(tmp_path) or tmp_path) / "weights-0000.safetensors"
    whole = shard.read_bytes()
    changed = {"flip": whole[:-1] + bytes([whole[-1] ^ 1]), "cut": whole[:-4], "remove": b""}[
        damage
    ]
    shard.write_bytes(changed)
    if damage == "remove":
        shard.unlink()
    with pytest.raises(BadCheckpoint, match="cannot be read"):
        train(Line(), tmp_path, LOOP, minutes=1)


FULL = """
import shutil, sys
from pathlib import Path
from dataclasses import replace
from sovgen.train.checkpoint import latest_checkpoint, read_checkpoint
from sovgen.train.loop import train
from tests.sovgen.train.test_loop import LOOP
from tests.sovgen.train.tiny import Line
disk, notices = Path(sys.argv[1]), []

def fill(progress):
    if progress.step == 10:
        with (disk / "filler").open("wb") as file:
            try:
                while True:
                    file.write(bytes(65536)); file.flush()
            except OSError:
                pass
    if progress.step == 20:
        (disk / "filler").unlink()
        print(read_checkpoint(latest_checkpoint(disk / "run")).state["step"])

loop = replace(LOOP, checkpoint_minutes=1e-9)
train(Line(width=40000), disk / "run", loop, minutes=1, on_notice=notices.append, on_step=fill)
print(notices[0].replace(str(disk), "DISK"))
print(latest_checkpoint(disk / "run").name)
"""


def test_a_full_disk_in_mid_checkpoint_keeps_the_one_before(tmp_path: Path) -> None:
    said = run_on_small_disk(tmp_path / "disk", "4m", FULL).splitlines()
    assert said == [
        "9",
        "No room for the checkpoint of step 10 in DISK/run. The one before stands; "
        "training goes on.",
        "step-00000040",
    ]


def test_shards_are_at_most_16_mib_and_join_again(tmp_path: Path) -> None:
    wide = Line(width=5_000_000)
    train(wide, tmp_path, replace(LOOP, steps=1, batch=1), minutes=1)
    folder = latest_checkpoint(tmp_path) or tmp_path
    files = sorted(folder.glob("*.safetensors"))
    assert len(files) >= 4 * 2
    assert max(f.stat().st_size for f in files) <= SHARD_BYTES
    kept = read_checkpoint(folder).tensors["weights"]["1.weight"]
    assert torch.equal(kept, wide.learner[1].weight.detach())
    assert json.loads((folder / "state.json").read_text())["values"]["objective"] == "line"


def test_average_halves_in_its_half_life() -> None:
    average = Ema({"w": torch.zeros(2), "n": torch.tensor(1)}, half_life=100)
    average.update({"w": torch.ones(2), "n": torch.tensor(5)}, samples=100, seen=10**9)
    torch.testing.assert_close(average.averages["w"], torch.full((2,), 0.5))
    assert average.averages["n"] == 5
    early = Ema({"w": torch.zeros(1)}, half_life=100)
    early.update({"w": torch.ones(1)}, samples=50, seen=50)
    assert early.averages["w"] > 0.99


def test_average_is_shown_only_inside_its_block() -> None:
    w = torch.ones(3)
    average = Ema({"w": torch.zeros(3)}, half_life=1)
    with average.shown_in({"w": w}):
        assert w.sum() == 0
    assert w.sum() == 3


PARALLEL = """
import sys
from dataclasses import replace
from pathlib import Path
from sovgen.train.loop import train
from tests.sovgen.train.test_loop import LOOP
from tests.sovgen.train.tiny import Line
train(Line(), Path(sys.argv[1]), replace(LOOP, steps=0), minutes=0.01)
train(Line(), Path(sys.argv[2]), replace(LOOP, steps=6), minutes=1)
"""


def test_two_processes_learn_one_model_and_end_together(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(PARALLEL)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    runs = [str(tmp_path / "timed"), str(tmp_path / "counted")]
    paths = os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [*command, str(script), *runs], env=os.environ | {"PYTHONPATH": paths}, timeout=300,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert read_checkpoint(latest_checkpoint(Path(runs[1])) or tmp_path).state["samples"] == 96
    assert [m["step"] for m in read_metrics(Path(runs[1])) if "loss" in m] == [1, 2, 3, 4, 5, 6]
