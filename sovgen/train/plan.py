"""Plan: what a training recipe (TOML) says, read into frozen dataclasses.

A recipe has the table [loop], which every training shares, and one table of its own; a key that
is not known is refused, so a misspelt setting never passes in silence.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

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

    def __post_init__(self) -> None:
        for name in ("batch", "average_every", "log_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is at least 1")
        if min(self.learning_rate, self.clip, self.half_life) <= 0:
            raise ValueError("learning_rate, clip and half_life are above 0")

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
    if not isinstance(values, Mapping):
        raise BadSettings(f"{place} is to be a table.", "See docs/training.md.")
    known = get_type_hints(kind)
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise BadSettings(
            f"{place}: unknown key {unknown[0]!r}.", f"Known keys: {', '.join(sorted(known))}."
        )
    for key, value in values.items():
        if not _fits(value, known[key]):
            raise BadSettings(
                f"{place}: {key} = {value!r} is not what it is to be.",
                f"It is {_said(known[key])}.",
            )
    try:
        return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
    except (TypeError, ValueError) as error:
        raise BadSettings(f"{place}: {error}.", "See docs/training.md.") from error


def _fits(value: object, kind: Any) -> bool:  # noqa: ANN401
    """Whether a TOML value may stand where a field of that type is."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Literal:
        return value in inner
    if origin in (Union, UnionType):
        return any(_fits(value, one) for one in inner)
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            return False
        if inner[-1:] == (...,):
            return all(_fits(one, inner[0]) for one in value)
        return len(value) == len(inner) and all(map(_fits, value, inner))
    if isinstance(value, bool) or kind is bool:
        return isinstance(value, bool) and kind in (bool, Any)
    if kind is float:
        return isinstance(value, (int, float)) and math.isfinite(value)
    plain = origin or kind
    return not isinstance(plain, type) or isinstance(value, plain)


def _said(kind: Any) -> str:  # noqa: ANN401
    return kind.__name__ if isinstance(kind, type) and not get_args(kind) else str(kind)
