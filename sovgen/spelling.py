"""Spelling: what people call samplers and schedules, and what is meant.

Names are AUTOMATIC1111's, diffusers' short ones or those of its classes; case, blanks, hyphens and
underscores say nothing, and a schedule may end a sampler's name. Knows names alone.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping

from sovgen.errors import BadRecipe
from sovgen.samplers import SAMPLERS

# Each with A1111's `Schedule type`.
SCHEDULES: Mapping[str, str] = {
    "karras": "Karras",
    "exponential": "Exponential",
    "beta": "Beta",
    "simple": "Simple",
    "kl optimal": "KL Optimal",
    "align your steps": "Align Your Steps",
}
# Left to the sampler, as if nothing were said; and not left to it, but spaced by timesteps alone.
_OPEN, _EVEN = None, ""
# The longer of two with one end comes first. SGM's uniform and the simple one are one in diffusers:
# trailing timesteps. A1111 gives a polyexponential the rho that makes it an exponential.
_SCHEDULES: Mapping[str, str | None] = {
    "polyexponential": "exponential",
    "sgmuniform": "simple",
    **{name.replace(" ", ""): name for name in SCHEDULES},
    **dict.fromkeys(("uniform", "normal"), _EVEN),
    "automatic": _OPEN,
}
ALIASES: Mapping[str, str] = {
    "plms": "pndm",
    "lms discrete": "lms",
    "euler discrete": "euler",
    "euler ancestral": "euler a",
    "euler ancestral discrete": "euler a",
    "heun discrete": "heun",
    "kdpm2": "dpm2",
    "kdpm2 discrete": "dpm2",
    "kdpm2 ancestral": "dpm2 a",
    "kdpm2 ancestral discrete": "dpm2 a",
    "dpm2 ancestral": "dpm2 a",
    "dpm": "dpm++ 2m",
    "dpmsolver": "dpm++ 2m",
    "dpmsolver++": "dpm++ 2m",
    "dpmsolver multistep": "dpm++ 2m",
    "dpmsolver singlestep": "dpm++ 2s",
    "dpm++ 2s ancestral": "dpm++ 2s a",
    "unipc multistep": "unipc",
    "deis multistep": "deis",
    "sasolver": "sa",
    "sa solver": "sa",
}
# What others draw with and sovgen does not: why, and what to take instead.
_UNDRAWN: Mapping[str, tuple[str, str]] = {
    "dpmsolver sde": (
        "diffusers draws its noise for a whole batch at once, so that one seed would not be one "
        "picture",
        "Use dpm++ sde, the same method with noise of each picture's own.",
    ),
    "dpm adaptive": (
        "it chooses the number of its steps itself, which here the recipe says",
        "Use dpm++ 2m.",
    ),
    "heunpp2": (
        "its last steps ask less often than the others, so that image-to-image, which counts steps "
        "by how often they ask, would miss the last",
        "Use heun.",
    ),
    # Not the sampler of that name, which takes the model's.
    "ipndm scheduler": (
        "diffusers' class has a noise schedule of its own, for which no text-to-image model was "
        "trained",
        "Use ipndm, which steps by the same formula.",
    ),
}
# A scheduler of diffusers that is in no table is still known by its class, as a model's own.
OWN = "Scheduler"


def settle(sampler: str | None, schedule: str | None, own: str = "") -> tuple[str, str | None]:
    """The name in `SAMPLERS` and the one in `SCHEDULES` that are meant; no schedule is None.

    own: the model's own sampler, for a recipe that names none; any schedule may take the place of
    the one that it brings. Raises BadRecipe, also for two schedules in one recipe.
    """
    name, brought = read_sampler(sampler or own)
    wanted = _OPEN if schedule is None else read_schedule(schedule)
    if sampler and _OPEN not in (brought, wanted) and wanted != brought:
        raise BadRecipe(
            f"The sampler {sampler} already has the schedule {brought or 'uniform'}.",
            f"Use {name} with --schedule {schedule}.",
        )
    return name, (brought if wanted is _OPEN else wanted) or None


def read_sampler(asked: str) -> tuple[str, str | None]:
    """The name in `SAMPLERS` that is meant, and the schedule at its end, "" for evenly.

    A class of diffusers that is in no table is returned as it is: only the model can tell whether
    it is its own. Raises BadRecipe with the nearest names, or the reason for a sampler left out.
    """
    key, schedule = _parted(_squeezed(asked))
    if key not in _REASONS:
        key = key.removesuffix(OWN.lower())
    if key in _MEANT:
        return _MEANT[key], schedule
    if key in _REASONS:
        why, instead = _REASONS[key]
        raise BadRecipe(f"The sampler {asked} cannot be drawn with: {why}.", instead)
    if asked.endswith(OWN):
        return asked, _OPEN
    raise unknown_sampler(asked)


def read_schedule(asked: str) -> str | None:
    """The name in `SCHEDULES` that is meant, "" for evenly, None where it is left open."""
    key = _squeezed(asked)
    if key not in _SCHEDULES:
        raise BadRecipe(f"There is no schedule {asked!r}.", f"Known: {', '.join(SCHEDULES)}.")
    return _SCHEDULES[key]


def unknown_sampler(asked: str) -> BadRecipe:
    """The error for a name that nobody knows, with the nearest ones."""
    near = difflib.get_close_matches(asked.lower(), [*SAMPLERS, *ALIASES], n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(near)}? " if near else ""
    return BadRecipe(f"There is no sampler {asked!r}.", f"{hint}Known: {', '.join(SAMPLERS)}.")


def _parted(key: str) -> tuple[str, str | None]:
    for ending, schedule in _SCHEDULES.items():
        if key.endswith(ending):
            return key.removesuffix(ending), schedule
    return key, _OPEN


def _squeezed(name: str) -> str:
    return re.sub(r"[\s_-]", "", name.lower())


_MEANT = {_squeezed(name): ALIASES.get(name, name) for name in (*SAMPLERS, *ALIASES)}
_REASONS = {_squeezed(name): reason for name, reason in _UNDRAWN.items()}
