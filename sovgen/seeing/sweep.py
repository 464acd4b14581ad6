"""Sweep: one prompt drawn in many ways, each measured: how good, and how long it takes.

Knows a model and an encoder; knows nothing of files. Quality is told by the encoder: the cosine of
the picture with its prompt, and with the picture that the same seed, sampler and guidance give in
`REFERENCE` steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

from index.prompt import plain_words
from sovgen.errors import BadRecipe, BrokenPicture
from sovgen.generate.generator import generate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from index.encoder import Encoder
    from sovgen.models.model import Model
    from sovgen.recipe import Recipe

    Rows = NDArray[np.float32]

REFERENCE = 64
# What counts as the same picture, and as no less true to the prompt.
LEAST_SIMILARITY, MOST_LOST = 0.95, 0.01


@dataclass(frozen=True)
class Way:
    """A sampler, a guidance and a number of steps."""

    sampler: str
    guidance: float
    steps: int


@dataclass(frozen=True)
class Measured:
    """A way and what it gives, the mean over the seeds.

    seconds: of one picture; adherence: cosine with the prompt; similarity: cosine with the picture
    of `REFERENCE` steps; image: of the first seed
    """

    way: Way
    seconds: float
    adherence: float
    similarity: float
    image: Image.Image


@dataclass(frozen=True)
class Failed:
    """A way that gave no sound picture, and why; with a reference all that it measures is lost."""

    way: Way
    error: BadRecipe | BrokenPicture


@dataclass(frozen=True)
class Sweep:
    """All ways, in the order in which they were asked for, and the reference of each of them."""

    ways: Sequence[Measured]
    references: Sequence[Measured]
    failed: Sequence[Failed] = ()

    def reference(self, way: Way) -> Measured:
        """What `REFERENCE` steps give with the way's sampler and guidance."""
        like = replace(way, steps=REFERENCE)
        return next(measured for measured in self.references if measured.way == like)

    def lost(self, measured: Measured) -> float:
        """How much less true to the prompt it is than its reference."""
        return self.reference(measured.way).adherence - measured.adherence

    def enough(self) -> Measured | None:
        """The fastest way that is like its own reference and as true to the prompt; None when none
        is.

        Not the truest of all references: one lucky seed of another sampler would then be a bar that
        no number of steps reaches.
        """
        good = [measured for measured in self.ways if self._is_good(measured)]
        return min(good, key=lambda m: m.seconds, default=None)

    def nearest(self) -> Measured:
        """The way that lacks least of being enough: first likeness counts, then adherence."""
        return max(self.ways, key=lambda m: (min(m.similarity, LEAST_SIMILARITY), -self.lost(m)))

    def _is_good(self, measured: Measured) -> bool:
        return measured.similarity >= LEAST_SIMILARITY and self.lost(measured) <= MOST_LOST


def sweep(
    model: Model,
    encoder: Encoder,
    recipes: Sequence[Recipe],
    samplers: Sequence[str],
    guidances: Sequence[float],
    steps: Sequence[int],
    on_way: Callable[[int, int], None] = lambda done, total: None,
) -> Sweep:
    """Draw every way from every recipe; these are of one prompt and differ in their seeds.

    on_way: told how many of how many ways are done. Raises BadRecipe before the first is drawn. A
    way that fails is told in the sweep; its error is raised when nothing at all was measured.
    """
    kinds = [Way(*kind, REFERENCE) for kind in product(samplers, guidances)]
    counts = list(dict.fromkeys([REFERENCE, *steps]))
    refuse_unmeant(recipes[0], samplers, guidances, steps)
    _refuse_undrawable(model, recipes[0], kinds, counts)
    [text] = encoder.encode_texts([plain_words(recipes[0].prompt)])
    _warm(model, recipes)
    told = list[Measured | Failed]()
    for number, kind in enumerate(kinds):
        for one in _measure(model, encoder, recipes, kind, counts, text):
            told.append(one)
            on_way(min(len(told), (number + 1) * len(counts)), len(kinds) * len(counts))
    return _swept(told)


def _swept(told: Sequence[Measured | Failed]) -> Sweep:
    measured = [one for one in told if isinstance(one, Measured)]
    failed = [one for one in told if isinstance(one, Failed)]
    ways = [one for one in measured if one.way.steps != REFERENCE]
    if not ways:
        raise failed[0].error
    return Sweep(ways, [one for one in measured if one.way.steps == REFERENCE], failed)


def refuse_unmeant(
    recipe: Recipe, samplers: Sequence[str], guidances: Sequence[float], steps: Sequence[int]
) -> None:
    """Raise BadRecipe for what cannot be measured, or is out of range, whatever the model."""
    if set(steps) <= {REFERENCE}:
        raise BadRecipe(
            f"{REFERENCE} steps alone leave nothing to measure: the others are compared with them.",
            "Name other numbers of steps, such as 4,8,16.",
        )
    for field, values in (("sampler", samplers), ("guidance", guidances), ("steps", steps)):
        for value in values:
            replace(recipe, **{field: value})  # type: ignore[arg-type]


def _refuse_undrawable(
    model: Model, recipe: Recipe, kinds: Sequence[Way], counts: Sequence[int]
) -> None:
    """Raise BadRecipe, one line for all, for what the model or a sampler cannot do.

    Some samplers take fewer steps than the reference has: better known now than after minutes.
    """
    refused = dict[str, BadRecipe]()
    for kind, count in product(kinds, counts):
        try:
            generate(model, [_along(recipe, replace(kind, steps=count))])
        except BadRecipe as error:
            refused.setdefault(kind.sampler, error)
    if refused:
        why = " ".join(dict.fromkeys(error.message for error in refused.values()))
        ours = f"Every way is compared with {REFERENCE} steps: leave out {', '.join(refused)}."
        some = len(refused) < len({kind.sampler for kind in kinds})
        raise BadRecipe(why, ours if some else next(iter(refused.values())).hint)


def _along(recipe: Recipe, way: Way) -> Recipe:
    return replace(recipe, sampler=way.sampler, guidance=way.guidance, steps=way.steps)


def _measure(
    model: Model,
    encoder: Encoder,
    recipes: Sequence[Recipe],
    kind: Way,
    counts: Sequence[int],
    text: Rows,
) -> Iterator[Measured | Failed]:
    """Each number of steps; what the first gives is what the others are compared with."""
    reference: Rows | None = None
    for count in counts:
        way = replace(kind, steps=count)
        try:
            drawn = list(generate(model, [_along(recipe, way) for recipe in recipes]))
        except (BadRecipe, BrokenPicture) as error:
            yield Failed(way, error)
            if reference is None:
                return
            continue
        vectors = encoder.encode_images([picture.image for picture in drawn])
        reference = vectors if reference is None else reference
        yield Measured(
            way=way,
            seconds=sum(picture.duration for picture in drawn) / len(drawn),
            adherence=float((vectors @ text).mean()),
            similarity=float((vectors * reference).sum(axis=1).mean()),
            image=drawn[0].image,
        )


def _warm(model: Model, recipes: Sequence[Recipe]) -> None:
    """The first drawing of a process is slower than all others."""
    with suppress(BrokenPicture):
        list(generate(model, [replace(recipe, steps=1) for recipe in recipes]))
