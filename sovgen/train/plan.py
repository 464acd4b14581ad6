"""Plan: what a training recipe (TOML) says, read into frozen dataclasses.

A recipe has the table [loop], which every training shares, and one table of its own; a key that
is not known is refused, so a misspelt setting never passes in silence.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sovgen.errors import BadSettings

T = TypeVar("T")


@dataclass(frozen=True)
class Loop:
    """How any training runs.

    batch: samples per step and process
    learning_rate: AdamW's, after `warm_up` steps of linear growth
    cool_down: steps at the end over which it falls to nought; 0 means that the run has no end
    steps: where the cool-down ends; 0 means that only the time given ends a run
    clip: largest norm of the gradient
    half_life: of the averaged weights, in samples
    average_every: steps between two updates of the average
    log_every: steps between two lines of metrics
    compile: have torch compile the network: a minute or more at the start, faster steps; needs a
        C++ compiler on a CPU
    checkpoint_minutes, sheet_minutes: how often a checkpoint, a sheet and a validation are made
    """

    batch: int = 64
    learning_rate: float = 5e-4
    warm_up: int = 500
    cool_down: int = 0
    steps: int = 0
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.01
    clip: float = 1.0
    half_life: float = 50_000
    average_every: int = 4
    log_every: int = 50
    compile: bool = False
    checkpoint_minutes: float = 5.0
    sheet_minutes: float = 30.0

    def rate(self, step: int) -> float:
        """The learning rate of that step: warm-up, level, and a linear cool-down if it has one."""
        warm = min(1.0, (step + 1) / max(1, self.warm_up))
        left = (self.steps - step) / self.cool_down if self.cool_down and self.steps else 1.0
        return self.learning_rate * warm * min(1.0, max(0.0, left))


def read_toml(path: Path) -> dict[str, Any]:
    """The file's tables. Raises BadSettings, naming the line, when it is not TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadSettings(f"There is no recipe {path}.", "Give the path of a TOML file.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadSettings(f"{path} is not a recipe: {error}.", "Recipes are TOML.") from error


def read_plan(path: Path, name: str, kind: type[T]) -> tuple[Loop, T]:
    """The tables [loop] and [name] of a recipe. Raises BadSettings for an unknown or odd value."""
    tables = read_toml(path)
    unknown = sorted(set(tables) - {"loop", name})
    if unknown:
        raise BadSettings(
            f"{path}: unknown table [{unknown[0]}].", f"Known tables: [loop], [{name}]."
        )
    loop = fill(Loop, tables.get("loop", {}), f"{path} [loop]")
    return loop, fill(kind, tables.get(name, {}), f"{path} [{name}]")


def fill(kind: type[T], values: Mapping[str, Any], place: str) -> T:
    """A dataclass from a TOML table, tuples for lists. Raises BadSettings."""
    known = {f.name for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - known)
    if unknown:
        raise BadSettings(
            f"{place}: unknown key {unknown[0]!r}.", f"Known keys: {', '.join(sorted(known))}."
        )
    try:
        return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
    except TypeError as error:
        raise BadSettings(f"{place}: {error}.", "See docs/training.md.") from error
