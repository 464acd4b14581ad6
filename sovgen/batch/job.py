"""Job: one recipe to draw, known by what it says.

A job's id is made from the recipe alone: the same recipe is the same picture, so it is the same
job, in whatever plan and at whatever place, and however its sampler and its weights are spelled.
Knows nothing of queues.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from functools import cached_property

from sovgen.recipe import OWN, Recipe
from sovgen.spelling import read_schedule, settle
from sovgen.weighted import one_spelling

ID_LENGTH = 16


@dataclass(frozen=True)
class Job:
    """A recipe and its canonical text, from which the rest follows."""

    recipe: Recipe
    text: str

    @cached_property
    def id(self) -> str:
        """16 hex digits, from the sha256 of the canonical recipe."""
        return _short(self.text)

    @cached_property
    def shape(self) -> str:
        """Equal for jobs that can be drawn together."""
        return _short(_canonical({n: v for n, v in self.recipe.to_dict().items() if n not in OWN}))

    @property
    def own(self) -> tuple[object, ...]:
        """What tells it from the others of its shape, before and after drawing."""
        return own(self.recipe)


def job_of(recipe: Recipe) -> Job:
    """The job that draws this recipe."""
    spelled = _spelled(recipe)
    return Job(spelled, _canonical(spelled.to_dict()))


def job_from(text: str) -> Job:
    """The job of a canonical text."""
    return Job(Recipe.from_dict(json.loads(text)), text)


def own(recipe: Recipe) -> tuple[object, ...]:
    """The fields that differ inside a batch."""
    return tuple(getattr(recipe, name) for name in OWN)


def _spelled(recipe: Recipe) -> Recipe:
    """The recipe with the one spelling of each name that has several."""
    sampler, schedule = _sampler(recipe)
    return replace(
        recipe,
        sampler=sampler,
        schedule=schedule,
        loras=tuple(map(one_spelling, recipe.loras)),
        reference=tuple(map(one_spelling, recipe.reference)),
    )


def _sampler(recipe: Recipe) -> tuple[str | None, str | None]:
    if recipe.sampler:
        return settle(recipe.sampler, recipe.schedule)
    if recipe.schedule is None:
        return None, None
    # Said of the model's own sampler, evenly is something else than nothing.
    meant = read_schedule(recipe.schedule)
    return None, "uniform" if meant == "" else meant


def _canonical(values: dict[str, object]) -> str:
    return json.dumps(values, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:ID_LENGTH]
