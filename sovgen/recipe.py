"""Recipe: everything that fixes a picture's pixels.

Every bad value is refused here, before any model loads. A field that is None is the model's own
default; `sovgen.generate` fills it in, so a recipe that was drawn has no None left. A Recipe knows
nothing of files, libraries or time.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass

from sovgen.errors import BadRecipe
from sovgen.samplers import sampler_name

MAX_SEED = 2**63 - 1
MAX_STEPS = 1000
MAX_GUIDANCE = 100.0
MAX_SIDE = 8192


@dataclass(frozen=True)
class Recipe:
    """What to draw and how.

    prompt, negative: any text; an empty prompt draws unconditionally
    seed: 0 .. 2**63 - 1; the noise is drawn from it on the CPU
    model: a model's name, folder or file
    steps: 1 .. 1000
    guidance: 0 .. 100, as in diffusers: neg + s * (pos - neg); 1 and below draw without guidance
    width, height: pixels; the model's grid is checked when the model is known
    sampler: a name from `sovgen.samplers`
    device, dtype: cpu, cuda, mps, xpu; float32, bfloat16, float16

    Raises BadRecipe, naming the field, the value and the range.
    """

    prompt: str
    negative: str = ""
    seed: int = 0
    model: str | None = None
    steps: int | None = None
    guidance: float | None = None
    width: int | None = None
    height: int | None = None
    sampler: str | None = None
    device: str | None = None
    dtype: str | None = None

    def __post_init__(self) -> None:
        for name in ("prompt", "negative"):
            _check_text(name, getattr(self, name))
        _check_whole("seed", self.seed, 0, MAX_SEED)
        if self.steps is not None:
            _check_whole("steps", self.steps, 1, MAX_STEPS)
        if self.guidance is not None:
            _check_guidance(self.guidance)
        for name in ("width", "height"):
            if getattr(self, name) is not None:
                _check_whole(name, getattr(self, name), 8, MAX_SIDE)
        for name in ("model", "sampler", "device", "dtype"):
            if getattr(self, name) is not None:
                _check_name(name, getattr(self, name))
        if self.sampler is not None:
            sampler_name(self.sampler)

    def to_dict(self) -> dict[str, object]:
        """The fields that are set, as plain JSON values."""
        return {k: v for k, v in dataclasses.asdict(self).items() if v is not None}

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Recipe:
        """The inverse of `to_dict`; unknown fields are refused, so nothing is lost in silence."""
        known = {f.name for f in dataclasses.fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise BadRecipe(
                f"Unknown recipe fields: {', '.join(unknown)}.",
                f"Known fields: {', '.join(sorted(known))}.",
            )
        if "prompt" not in values:
            raise BadRecipe("The recipe has no prompt.", "An empty one draws unconditionally.")
        return cls(**values)  # type: ignore[arg-type]


def _check_text(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise BadRecipe(f"The {name} must be text, not {type(value).__name__}.")
    if "\x00" in value:
        raise BadRecipe(f"The {name} holds a NUL character.", "Remove it and try again.")


def _check_name(name: str, value: object) -> None:
    _check_text(name, value)
    if not value:
        raise BadRecipe(f"The {name} is empty.", f"Leave the {name} out for the default.")


def _check_whole(name: str, value: object, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadRecipe(f"The {name} must be a whole number, not {value!r}.")
    if not low <= value <= high:
        raise BadRecipe(
            f"The {name} {value} is out of range.", f"Give a {name} from {low} to {high}."
        )


def _check_guidance(value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise BadRecipe(f"The guidance must be a number, not {value!r}.")
    if not (math.isfinite(value) and 0 <= value <= MAX_GUIDANCE):
        raise BadRecipe(
            f"The guidance {value} is out of range.",
            f"Give a guidance from 0 to {MAX_GUIDANCE:g}; 7 is usual.",
        )
