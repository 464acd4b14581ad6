"""Job: a recipe that leaves nothing open, ready to be drawn.

What can be refused or should be told before anything is drawn is found out here. Knows a loaded
model; draws nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from index.prompt import is_plain
from sovgen.generate.backend import repaying, slow_start
from sovgen.generate.conditioning import dropped_words, lengths
from sovgen.generate.equipment import additions_of
from sovgen.generate.filling import differences, fill
from sovgen.generate.fitting import fit
from sovgen.generate.refining import check_refiner
from sovgen.generate.texts import reads_language
from sovgen.models.additions.wanted import Additions
from sovgen.models.additions.written import take_written
from sovgen.recipe import OWN, Recipe

if TYPE_CHECKING:
    from PIL import Image

    from sovgen.models.model import Model

# What the pictures of one batch have in common: all but what is each one's own.
_SHARED = [field.name for field in fields(Recipe) if field.name not in OWN]


@dataclass(frozen=True)
class Job:
    """A recipe that leaves nothing open, and what its maker should know of it.

    lengths: how long its texts are, see `sovgen.generate.conditioning`
    """

    recipe: Recipe
    additions: Additions
    notices: tuple[str, ...]
    lengths: tuple[int, ...]

    @property
    def shape(self) -> tuple[object, ...]:
        """Jobs of one shape can be drawn together."""
        return (self.additions, *(getattr(self.recipe, name) for name in _SHARED), self.lengths)


def job_of(
    model: Model,
    recipe: Recipe,
    sources: Mapping[str, Image.Image],
    known: dict[tuple[object, ...], Additions],
) -> Job:
    """The job that draws a recipe.

    known: the additions of the recipes before, so that each is read and checked once
    Raises BadRecipe.
    """
    recipe = take_written(recipe)
    key = tuple(getattr(recipe, name) for name in _SHARED)
    if key not in known:
        known[key] = additions_of(model, recipe, sources)
    additions = known[key]
    fitted, notices = fit(model, recipe, sources)
    filled = fill(model, fitted)
    check_refiner(model, filled)
    filled = additions.named_in(filled)
    notices += differences(model, recipe)
    if filled.enlarges_alone:
        return Job(filled, additions, tuple(notices), lengths=())
    for name in ("prompt", "negative") if model.guidance == "free" else ("prompt",):
        if dropped := dropped_words(model, getattr(recipe, name)):
            notices.append(
                f"The {name} is longer than the {model.max_tokens} tokens that {model.name} "
                f"reads; these words were dropped: {' '.join(dropped)}"
            )
    if not (reads_language(model.pipe) or is_plain(recipe.prompt + recipe.negative)):
        notices.append(
            f"{model.family} models read the plain words of a prompt: its weights, turns and "
            "breaks do nothing."
        )
    texts = (recipe.prompt, recipe.negative, is_guided(model, filled), filled.steps or 1)
    return Job(filled, additions, tuple(notices), lengths(model, *texts))


def asked(model: Model, jobs: Sequence[Job], among: int) -> list[Job]:
    """With the backend where their recipes leave it open, and what is to be told of it.

    among: pictures of the whole run, where these are some of them
    """
    alike = Counter(job.shape for job in jobs)
    chosen = dict[tuple[object, ...], str]()
    settled = []
    for job in jobs:
        recipe = job.recipe
        if recipe.backend is None and not recipe.enlarges_alone:
            if job.shape not in chosen:
                rows = max(alike[job.shape], among) * (recipe.steps or 0)
                rows *= 2 if is_guided(model, recipe) else 1
                chosen[job.shape] = repaying(model, recipe, rows)
            recipe = replace(recipe, backend=chosen[job.shape])
        settled.append(replace(job, recipe=recipe, notices=(*job.notices, *slow_start(recipe))))
    return settled


def is_guided(model: Model, recipe: Recipe) -> bool:
    """Whether a negative is drawn beside the prompt."""
    return model.guidance == "free" and (recipe.guidance or 0) > 1
