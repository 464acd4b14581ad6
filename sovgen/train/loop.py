"""The loop that every training shares: step, average, show, keep, go on.

    for step t = 0, 1, ...:   theta <- AdamW(theta, clip(grad loss(theta, batch(seed, t))))

What a step draws depends on (seed, t) alone (`chance`), so a training that was killed and started
again has the same losses as one that was not. The same code runs on a CPU, on a GPU, and, started
by `torchrun` or `accelerate launch`, on several. It knows nothing of what is learned (`objective`).
"""

from __future__ import annotations

import errno
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from sovgen.errors import Interrupted, NoRoom, TrainingDiverged
from sovgen.train.chance import chance
from sovgen.train.checkpoint import latest_checkpoint
from sovgen.train.metrics import append_metrics
from sovgen.train.objective import Objective
from sovgen.train.plan import Loop
from sovgen.train.training import Training, keep, prepare, restore

Notice = Callable[[str], None]


@dataclass(frozen=True)
class Progress:
    """What a step came to: `loss` is that step's, `rate` is in samples a second."""

    step: int
    samples: int
    loss: float
    rate: float


def train(
    objective: Objective,
    run: Path,
    loop: Loop,
    *,
    minutes: float,
    seed: int = 0,
    device: str = "cpu",
    precision: str = "float32",
    on_notice: Notice = lambda text: None,
    on_step: Callable[[Progress], None] = lambda progress: None,
) -> Progress:
    """Trains for that many minutes, or to the loop's last step; goes on where `run` stopped.

    Raises Interrupted after Ctrl-C or SIGTERM, everything kept; TrainingDiverged when the loss or
    its gradient is no number, the last checkpoint kept; BadCheckpoint when `run` holds another
    architecture; NoRoom when the last checkpoint could not be written.
    """
    (run / "sheets").mkdir(parents=True, exist_ok=True)
    training = prepare(objective, run, loop, seed, device, precision, on_notice)
    training.samples = objective.samples_before
    if restore(training):
        on_notice(f"Goes on from step {training.step}, {training.samples} samples seen.")
    with _stop_asked() as stop:
        last = _until(training, time.monotonic() + 60 * minutes, stop, on_notice, on_step)
        keep(training)
    if stop.is_set():
        raise Interrupted(
            f"Stopped at step {training.step}; the checkpoint is in {run}.",
            "The same command goes on from there.",
        )
    show(training)
    return last


def show(training: Training) -> None:
    """Validates, draws a sheet and writes the part into RUN/model, all from the average."""
    if not training.accelerator.is_main_process:
        return
    objective, run = training.objective, training.run
    was_training = objective.learner.training
    objective.learner.eval()
    with training.average.shown_in(training.learned), torch.no_grad():
        held_out = objective.validate()
        append_metrics(run, training.step, training.samples, {"held_out": held_out})
        objective.sheet().save(run / "sheets" / f"{training.step:08d}.png")
        objective.write(run / "model", training.samples)
    objective.learner.train(was_training)


def _until(
    training: Training,
    end: float,
    stop: threading.Event,
    on_notice: Notice,
    on_step: Callable[[Progress], None],
) -> Progress:
    loop, begun, started = training.loop, training.samples, time.monotonic()
    kept = shown = started
    progress = Progress(training.step, training.samples, math.nan, 0.0)
    while not _ended(training, stop.is_set() or time.monotonic() > end):
        loss = _step(training)
        now = time.monotonic()
        rate = (training.samples - begun) / (now - started)
        progress = Progress(training.step, training.samples, loss, rate)
        on_step(progress)
        with _full_disk_told(on_notice):
            if training.step % loop.log_every == 0:
                _log(training, rate)
            if now - kept > 60 * loop.checkpoint_minutes:
                kept = now
                keep(training)
            if now - shown > 60 * loop.sheet_minutes:
                shown = now
                show(training)
    return progress


def _ended(training: Training, asked: bool) -> bool:
    """Whether to stop before the next step; over several processes all stop when one is asked."""
    if training.loop.steps and training.step >= training.loop.steps:
        return True
    accelerator = training.accelerator
    if accelerator.num_processes == 1:
        return asked
    flag = torch.tensor(float(asked), device=accelerator.device)
    return bool(accelerator.reduce(flag, "sum") > 0)


def _step(training: Training) -> float:
    """One step of AdamW; returns its loss. Raises TrainingDiverged and leaves the weights alone."""
    loop, accelerator, optimiser = training.loop, training.accelerator, training.optimiser
    for group in optimiser.param_groups:
        group["lr"] = loop.rate(training.step)
    drawn = chance(training.seed, training.step, accelerator.process_index)
    batch = training.objective.batch(drawn, loop.batch)
    with torch.autocast(accelerator.device.type, torch.bfloat16, enabled=training.half):
        loss, figures = training.objective.loss(training.learner, batch)
    optimiser.zero_grad()
    accelerator.backward(loss)
    norm = accelerator.clip_grad_norm_(training.learner.parameters(), loop.clip)
    figures = {"loss": float(loss.detach()), "gradient": float(norm)} | figures
    _check_finite(training, figures)
    optimiser.step()
    _count(training, figures)
    return figures["loss"]


def _count(training: Training, figures: dict[str, float]) -> None:
    """Counts a step that was taken, and takes it into the average."""
    every = training.loop.average_every
    samples = training.loop.batch * training.accelerator.num_processes
    training.step += 1
    training.samples += samples
    training.figures.append(figures)
    if training.step % every == 0:
        training.average.update(training.learned, samples * every, training.step * samples)


def _check_finite(training: Training, figures: dict[str, float]) -> None:
    if math.isfinite(figures["loss"]) and math.isfinite(figures["gradient"]):
        return
    kept = latest_checkpoint(training.run)
    raise TrainingDiverged(
        f"The loss of step {training.step} is {figures['loss']:g}, "
        f"its gradient {figures['gradient']:g}; "
        + (f"{kept.name} stands in {training.run}." if kept else "nothing was kept yet."),
        "Run it again with a smaller learning_rate in the recipe.",
    )


def _log(training: Training, rate: float) -> None:
    recent, training.figures = training.figures, []
    if not training.accelerator.is_main_process:
        return
    means = {n: sum(f[n] for f in recent) / len(recent) for n in recent[-1]}
    more = {"rate": rate, "learning_rate": training.loop.rate(training.step - 1)}
    append_metrics(training.run, training.step, training.samples, means | more)


@contextmanager
def _full_disk_told(on_notice: Notice) -> Iterator[None]:
    """Training goes on when the disk is full: what stands stands, and room may be made."""
    try:
        yield
    except NoRoom as error:
        on_notice(f"{error.message} The one before stands; training goes on.")
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        on_notice("The disk is full: no metrics or sheet written; training goes on.")


@contextmanager
def _stop_asked() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set, so that a step is always finished."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, lambda *_: stop.set())
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
