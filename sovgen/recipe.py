"""Recipe: everything that fixes a picture's pixels.

Every bad value is refused here, before any model loads. A field that is None is the model's own
default; `sovgen.generate` fills it in, so a recipe that was drawn has no None left. A Recipe knows
nothing of files, libraries or time.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from sovgen.errors import BadRecipe
from sovgen.spelling import read_schedule, settle
from sovgen.weighted import split_weight

MAX_SEED = 2**63 - 1
MAX_STEPS = 1000
MAX_GUIDANCE = 100.0
MAX_SIDE = 8192
# Where a refiner takes over when nothing is said: as its makers did.
REFINE_FROM = 0.8
BACKENDS = ("torch", "compile", "openvino")
# What may differ between the pictures of one batch.
OWN = ("prompt", "negative", "seed", "variation_seed")


@dataclass(frozen=True)
class Recipe:
    """What to draw and how.

    prompt, negative: any text; an empty prompt draws unconditionally
    seed: 0 .. 2**63 - 1; the noise is drawn from it on the CPU
    model: a model's name, folder or file
    steps: 1 .. 1000
    guidance: 0 .. 100, as in diffusers: neg + s * (pos - neg); 1 and below draw without guidance
    width, height: pixels; the model's grid is checked when the model is known
    sampler: a name that `sovgen.spelling` knows, or the class of the model's own
    device, dtype: cpu, cuda, mps, xpu; float32, bfloat16, float16
    backend: what asks the denoiser: torch, compile (by torch.compile), openvino

    Steering:
    clip_skip: 1 .. 24, layers of the text towers counted from the last, as in A1111; 1 is the last
    schedule: how the sigmas are spaced, a name of `spelling.SCHEDULES`, or A1111's name for it
    guidance_rescale: 0 .. 1 (Lin et al., 2305.08891)
    guidance_from, guidance_until: 0 .. 1, the share of the steps between which guidance acts
    cache_interval: 2 .. 10, deep features are computed at every Nth step (DeepCache)
    vae_tile: pixels of the tiles that the autoencoder works in; without it they are only made, and
        written here, where memory is short

    Beginning from pictures, which are named by their ids:
    init: the picture to begin from; strength: 0 .. 1, how much of it is drawn anew: of the steps
        the last int(steps * strength) are taken, as in diffusers
    of mask, margins and upscale one at most:
    mask: white where `init` is drawn anew
    margins: "left,top,right,bottom" in pixels, drawn anew around `init`
    upscale: 1 .. 8, how many times larger than `init`; upscaler: a model; tile: pixels
    variation: 0 .. 1, how much of the noise is that of variation_seed (as A1111's subseed)
    transparent: the ground is taken away

    refiner: a model of the same latent that takes over where so much of the noise schedule is
        gone, refine_from, 0 .. 1; as diffusers' denoising_end and denoising_start

    Additions to the model; a weight follows a name after a colon, "clipart:0.8":
    loras, embeddings, vae: a LoRA's weight is -10 .. 10, that of a reference 0 .. 2
    control: a ControlNet; control_image: the picture it follows; control_weight: 0 .. 2
    adapter: an IP-Adapter; reference: the pictures it looks at

    Raises BadRecipe, naming the field, the value and the range, also for a setting whose other
    half is missing.
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
    backend: str | None = None
    clip_skip: int | None = None
    schedule: str | None = None
    guidance_rescale: float | None = None
    guidance_from: float | None = None
    guidance_until: float | None = None
    cache_interval: int | None = None
    vae_tile: int | None = None
    variation: float | None = None
    variation_seed: int | None = None
    init: str | None = None
    strength: float | None = None
    mask: str | None = None
    margins: str | None = None
    upscale: float | None = None
    upscaler: str | None = None
    tile: int | None = None
    transparent: bool | None = None
    refiner: str | None = None
    refine_from: float | None = None
    loras: tuple[str, ...] = ()
    embeddings: tuple[str, ...] = ()
    vae: str | None = None
    control: str | None = None
    control_image: str | None = None
    control_weight: float | None = None
    adapter: str | None = None
    reference: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name in _CHECKS and (value is not None or name in _ALWAYS):
                with _told_of(name):
                    _CHECKS[name](name.replace("_", " "), value)
        if self.sampler is not None:
            with _told_of("sampler"):
                settle(self.sampler, self.schedule)
        self._refuse_lonely()

    def _refuse_lonely(self) -> None:
        given = {name for name, value in vars(self).items() if value not in (None, ())}
        for name, (other, what) in _NEEDS.items():
            if name in given and other not in given:
                raise BadRecipe(f"The {name.replace('_', ' ')} needs {what}.", _NEED_HINTS[other])

    @property
    def enlarges_alone(self) -> bool:
        """Whether an upscaler makes it by itself: its model draws nothing."""
        return self.upscale is not None and self.upscaler is not None and not self.strength

    def to_dict(self) -> dict[str, object]:
        """The fields that are set, as plain JSON values."""
        given = {name: value for name, value in vars(self).items() if value not in (None, ())}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in given.items()}

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
        plain = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**plain)  # type: ignore[arg-type]


# Settings that mean something only beside another one, and what that is.
_BEGIN = ("init", "a picture to begin from")
_NEEDS = {
    **dict.fromkeys(("strength", "mask", "margins", "upscale"), _BEGIN),
    **dict.fromkeys(("upscaler", "tile"), ("upscale", "an upscale: how many times larger")),
    "variation": ("variation_seed", "a variation seed"),
    "variation_seed": ("variation", "a variation: how much of the noise is its own"),
    "refine_from": ("refiner", "a refiner: the model that takes over there"),
    "control": ("control_image", "a picture to follow"),
    **dict.fromkeys(("control_image", "control_weight"), ("control", "a ControlNet")),
    "adapter": ("reference", "a picture to look at"),
    "reference": ("adapter", "an IP-Adapter"),
}
_NEED_HINTS = {
    "init": "Give it with --from ID or FILE.",
    "upscale": "See: sovgen upscale --help",
    "variation": "Give it with --variation, 0 to 1.",
    "variation_seed": "Give it with --variation-seed.",
    "refiner": "Name it with --refiner.",
    "control": "Name it with --control.",
    "control_image": "Give it with --control-image ID or FILE.",
    "adapter": "Name it with --adapter.",
    "reference": "Give it with --reference ID or FILE.",
}


@contextmanager
def _told_of(field: str) -> Iterator[None]:
    try:
        yield
    except BadRecipe as error:
        error.field = field
        raise


def _check_text(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise BadRecipe(
            f"The {name} must be text, not {type(value).__name__}.", "Put it in quotes."
        )
    if "\x00" in value:
        raise BadRecipe(f"The {name} holds a NUL character.", "Remove it and try again.")


def _check_name(name: str, value: object) -> None:
    _check_text(name, value)
    if not value:
        raise BadRecipe(f"The {name} is empty.", f"Leave the {name} out for the default.")


def _check_whole(name: str, value: object, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        hint = f"Write it without quotes, from {low} to {high}."
        raise BadRecipe(f"The {name} must be a whole number, not {value!r}.", hint)
    if not low <= value <= high:
        raise BadRecipe(f"The {name} {value} is out of range.", f"It goes from {low} to {high}.")


def _check_number(name: str, value: object, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        hint = f"Write it without quotes, from {low:g} to {high:g}."
        raise BadRecipe(f"The {name} must be a number, not {value!r}.", hint)
    if not (math.isfinite(value) and low <= value <= high):
        hint = f"It goes from {low:g} to {high:g}."
        raise BadRecipe(f"The {name} {value} is out of range.", hint)


def _check_names(name: str, value: object) -> None:
    if not isinstance(value, tuple):
        raise BadRecipe(f"The {name} must be a list, not {value!r}.", 'Write it as ["one", "two"].')
    for one in value:
        _check_name(name, one)


def _check_weighted(name: str, value: object, low: float, high: float) -> None:
    _check_names(name, value)
    for one in value:  # type: ignore[attr-defined]
        _check_number(f"weight of {one}", split_weight(one)[1], low, high)


def _check_flag(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise BadRecipe(f"{name} is true or false, not {value!r}.", "Write it without quotes.")


def _check_schedule(name: str, value: object) -> None:
    _check_text(name, value)
    read_schedule(str(value))


def _check_backend(name: str, value: object) -> None:
    if value not in BACKENDS:
        raise BadRecipe(f"There is no backend {value!r}.", f"Known: {', '.join(BACKENDS)}.")


def _check_margins(name: str, value: object) -> None:
    sides = value.split(",") if isinstance(value, str) else []
    # One way to write each, so that one picture is not two jobs of a batch.
    whole = all(side.isdecimal() and side == str(int(side)) for side in sides)
    if len(sides) != 4 or not whole or value == "0,0,0,0":
        raise BadRecipe(
            f"The margins {value!r} are not four numbers of pixels.",
            'Write them as "left,top,right,bottom", such as "0,0,128,0".',
        )


def _whole(low: int, high: int) -> Callable[[str, object], None]:
    return lambda name, value: _check_whole(name, value, low, high)


def _number(low: float, high: float) -> Callable[[str, object], None]:
    return lambda name, value: _check_number(name, value, low, high)


# Fields that no model has a default for.
_ALWAYS = ("prompt", "negative", "seed")
_CHECKS: Mapping[str, Callable[[str, object], None]] = {
    **dict.fromkeys(("prompt", "negative"), _check_text),
    **dict.fromkeys(("seed", "variation_seed"), _whole(0, MAX_SEED)),
    "steps": _whole(1, MAX_STEPS),
    **dict.fromkeys(("width", "height"), _whole(8, MAX_SIDE)),
    **dict.fromkeys(("model", "sampler", "device", "dtype"), _check_name),
    **dict.fromkeys(("init", "mask", "upscaler", "refiner", "vae"), _check_name),
    **dict.fromkeys(("control", "control_image"), _check_name),
    "loras": lambda name, value: _check_weighted(name, value, -10, 10),
    "embeddings": _check_names,
    "reference": lambda name, value: _check_weighted(name, value, 0, 2),
    **dict.fromkeys(("strength", "variation", "guidance_rescale"), _number(0, 1)),
    **dict.fromkeys(("guidance_from", "guidance_until", "refine_from"), _number(0, 1)),
    "guidance": _number(0, MAX_GUIDANCE),
    "adapter": _check_name,
    "clip_skip": _whole(1, 24),
    "schedule": _check_schedule,
    "backend": _check_backend,
    "cache_interval": _whole(2, 10),
    "margins": _check_margins,
    "upscale": _number(1, 8),
    "tile": _whole(64, MAX_SIDE),
    "vae_tile": _whole(8, MAX_SIDE),
    "transparent": _check_flag,
    "control_weight": _number(0, 2),
}
