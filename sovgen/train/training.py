"""Training: the moving parts of one run, made ready, kept on disk and restored from it.

A restored training is the one that was kept: weights, averages, AdamW's moments, the step and the
seed, from which `chance` draws everything else.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from sovgen.errors import BadCheckpoint
from sovgen.train.checkpoint import (
    Checkpoint,
    check_architecture,
    latest_checkpoint,
    read_checkpoint,
    write_checkpoint,
)
from sovgen.train.ema import Ema
from sovgen.train.metrics import drop_metrics_after
from sovgen.train.objective import Objective
from sovgen.train.plan import Loop


@dataclass
class Training:
    """The parts of one run.

    learner: the objective's network as it is called: over several devices, compiled, or plain
    samples: seen in all, those of earlier runs included
    figures: what is not yet in the metrics
    """

    objective: Objective
    loop: Loop
    run: Path
    seed: int
    half: bool
    accelerator: Accelerator
    learner: nn.Module
    optimiser: torch.optim.Optimizer
    average: Ema
    step: int = 0
    samples: int = 0
    figures: list[dict[str, float]] = field(default_factory=list)

    @property
    def learned(self) -> dict[str, Tensor]:
        """What is trained, averaged and kept: parameters with a gradient, and buffers."""
        return learned(self.objective.learner)


def learned(learner: nn.Module) -> dict[str, Tensor]:
    """The tensors of a network that change as it learns, by name."""
    trained = {n: p for n, p in learner.named_parameters() if p.requires_grad}
    kept = learner.state_dict()
    return trained | {n: b for n, b in learner.named_buffers() if n in kept}


def prepare(
    objective: Objective,
    run: Path,
    loop: Loop,
    seed: int,
    device: str,
    precision: str,
    on_notice: Callable[[str], None],
) -> Training:
    """A training at step 0, its network on the device; weight decay for matrices only.

    Weights and moments are float32; with the precision "bfloat16" the passes are autocast to it.
    """
    objective.learner.train()
    if device.startswith("cuda:"):  # which accelerate takes for its first
        torch.cuda.set_device(device)
    accelerator = Accelerator(cpu=device == "cpu")
    trained = [p for p in objective.learner.parameters() if p.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in trained if p.ndim > 1]},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(
        [g for g in groups if g["params"]],
        lr=loop.learning_rate,
        betas=loop.betas,
        weight_decay=loop.weight_decay,
        fused=True,
    )
    learner, optimiser = accelerator.prepare(objective.learner, optimiser)
    average = Ema(learned(objective.learner), loop.half_life)
    if loop.compile and _can_compile(accelerator.device.type):
        learner = torch.compile(learner)
    elif loop.compile:
        on_notice("There is no C++ compiler: training uncompiled, about a fifth slower.")
    half = precision == "bfloat16"
    return Training(objective, loop, run, seed, half, accelerator, learner, optimiser, average)


def _can_compile(device: str) -> bool:
    return device != "cpu" or any(shutil.which(c) for c in ("c++", "g++", "clang++"))


def keep(training: Training) -> None:
    """Writes a checkpoint, whole or not at all. Raises NoRoom."""
    if not training.accelerator.is_main_process:
        return
    tensors = {
        "weights": training.learned,
        "average": training.average.averages,
        "optimiser": _moments(training.optimiser, training.learned),
    }
    state = {
        "objective": training.objective.name,
        "seed": training.seed,
        "step": training.step,
        "samples": training.samples,
        "figures": training.figures,
    }
    write_checkpoint(training.run, training.step, Checkpoint(tensors, state))


def restore(training: Training) -> bool:
    """Goes back to the newest checkpoint of the run; says whether there is one.

    Raises BadCheckpoint when it is damaged, of another objective or of another architecture.
    """
    folder = latest_checkpoint(training.run)
    if folder is None:
        _drop_metrics(training)
        return False
    found = read_checkpoint(folder)
    if found.state["objective"] != training.objective.name:
        raise BadCheckpoint(
            f"{folder} is of a training of {found.state['objective']}, "
            f"not of {training.objective.name}.",
            "Give each training a run folder of its own.",
        )
    check_architecture(training.learned, found.tensors["weights"], folder)
    _restore_tensors(training, found)
    training.step = int(str(found.state["step"]))
    training.samples = int(str(found.state["samples"]))
    training.seed = int(str(found.state["seed"]))
    training.figures = list(found.state.get("figures", []))  # type: ignore[call-overload]
    _drop_metrics(training)
    return True


def _drop_metrics(training: Training) -> None:
    if training.accelerator.is_main_process:
        drop_metrics_after(training.run, training.step)


@torch.no_grad()
def _restore_tensors(training: Training, found: Checkpoint) -> None:
    for name, w in training.learned.items():
        w.copy_(found.tensors["weights"][name])
        training.average.averages[name].copy_(found.tensors["average"][name])
    for key, value in found.tensors.get("optimiser", {}).items():
        name, moment = key.rsplit("/", 1)
        w = training.learned[name]
        # AdamW's moments lie in memory as their weight does, its counter stays where it was
        moments = training.optimiser.state[w]
        moments[moment] = value if value.ndim == 0 else torch.empty_like(w).copy_(value)
        if w.is_cuda:
            moments[moment] = moments[moment].to(w.device)


def _moments(optimiser: torch.optim.Optimizer, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """AdamW's moments and counters, named WEIGHT/exp_avg and so on."""
    return {
        f"{name}/{moment}": value
        for name, w in weights.items()
        for moment, value in optimiser.state.get(w, {}).items()
    }
