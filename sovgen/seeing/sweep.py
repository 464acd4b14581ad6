"""Sweep: one prompt drawn in many ways, each measured: how good, and how long it takes.

Knows a model and an encoder; knows nothing of files. Quality is told by the encoder: the cosine of
the picture with its prompt, and with the picture that the same seed, sampler and guidance give in
`REFERENCE` steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

from index.prompt import plain_words
from sovgen.errors import BadRecipe
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
class Sweep:
    """All ways, in the order in which they were asked for, and the reference of each of them."""

    ways: Sequence[Measured]
    references: Sequence[Measured]

    def reference(self, way: Way) -> Measured:
        """What `REFERENCE` steps give with the way's sampler and guidance."""
        like = replace(way, steps=REFERENCE)
        return next(measured for measured in self.references if measured.way == like)

    def enough(self) -> Measured | None:
        """The way of fewest steps that is like its reference, and as true to the prompt as any
        reference is; None when none is."""
        good = [measured for measured in self.ways if self._is_good(measured)]
        return min(good, key=lambda m: (m.way.steps, m.seconds), default=None)

    def _is_good(self, measured: Measured) -> bool:
        lost = max(m.adherence for m in self.references) - measured.adherence
        return measured.similarity >= LEAST_SIMILARITY and lost <= MOST_LOST


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

    on_way: told how many of how many ways are drawn. Raises BadRecipe before the first is.
    """
    kinds = list(product(samplers, guidances))
    counts = list(dict.fromkeys([REFERENCE, *steps]))
    refuse_unmeant(recipes[0], samplers, guidances, steps)
    for sampler, guidance in kinds:
        generate(model, [replace(recipes[0], sampler=sampler, guidance=guidance)])
    [text] = encoder.encode_texts([plain_words(recipes[0].prompt)])
    _warm(model, recipes)
    measured = list[list[Measured]]()
    for sampler, guidance in kinds:
        measured.append([])
        for one in _measure(model, encoder, recipes, Way(sampler, guidance, 0), counts, text):
            measured[-1].append(one)
            on_way(sum(map(len, measured)), len(kinds) * len(counts))
    return Sweep([one for kind in measured for one in kind[1:]], [kind[0] for kind in measured])


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


def _measure(
    model: Model,
    encoder: Encoder,
    recipes: Sequence[Recipe],
    kind: Way,
    counts: Sequence[int],
    text: Rows,
) -> Iterator[Measured]:
    """Each number of steps; what the first gives is what the others are compared with."""
    reference: Rows | None = None
    for count in counts:
        way = replace(kind, steps=count)
        settings = {"sampler": way.sampler, "guidance": way.guidance, "steps": count}
        drawn = list(generate(model, [replace(r, **settings) for r in recipes]))  # type: ignore[arg-type]
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
    list(generate(model, [replace(recipe, steps=1) for recipe in recipes]))
