"""Choosing: of many pictures of one prompt, those that are most true to it.

Knows pictures and a judge of them; knows nothing of models, libraries or encoders.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from index.counting import counted
from sovgen.picture import Picture
from sovgen.recipe import Recipe

R = TypeVar("R")
Draw = Callable[[Sequence[Recipe]], Iterator[Picture]]
# How true a picture is to its prompt: the cosine that the library calls adherence.
Judge = Callable[[Picture], float]


@dataclass(frozen=True)
class Choice:
    """How many pictures of each prompt are kept, of how many that are drawn at most.

    until: the adherence, -1 .. 1, that a picture must reach to be kept; drawing stops when enough
    have. None draws all and keeps the best. When too few reach it, the best of the others stand in.
    """

    keep: int
    drawn: int
    until: float | None = None


def choose(
    choice: Choice,
    recipes: Sequence[Recipe],
    draw: Draw,
    judge: Judge,
    on_notice: Callable[[str], None],
) -> Iterator[Picture]:
    """The pictures that are kept, prompt by prompt, in the order in which they were drawn.

    recipes: `choice.drawn` of one prompt, then as many of the next
    Every recipe is checked before this returns: raises BadRecipe.
    """
    starts = range(0, len(recipes), choice.drawn)
    drawings = [draw(recipes[start : start + choice.drawn]) for start in starts]
    return (p for drawing in drawings for p in _chosen(choice, drawing, judge, on_notice))


def _chosen(
    choice: Choice, drawing: Iterator[Picture], judge: Judge, on_notice: Callable[[str], None]
) -> list[Picture]:
    seen: list[tuple[float, Picture]] = []
    reached = 0
    for picture in drawing:
        seen.append((judge(picture), picture))
        reached += choice.until is not None and seen[-1][0] >= choice.until
        if reached == choice.keep:
            break
    best = sorted(range(len(seen)), key=lambda i: -seen[i][0])[: choice.keep]
    for sentence in _told(choice, seen, best, reached):
        on_notice(sentence)
    return [seen[i][1] for i in sorted(best)]


def _told(
    choice: Choice, seen: Sequence[tuple[float, Picture]], best: Sequence[int], reached: int
) -> Iterator[str]:
    if choice.until is not None and reached < choice.keep:
        pictures = counted(len(seen), "picture")
        yield f"Of {pictures} {reached or 'none'} reached an adherence of {choice.until}."
    kept = [f"seed {seen[i][1].recipe.seed} ({seen[i][0]:.3f})" for i in sorted(best)]
    dropped = [
        f"seed {picture.recipe.seed} ({score:.3f})"
        for i, (score, picture) in enumerate(seen)
        if i not in best
    ]
    if dropped:
        yield f"Kept {', '.join(kept)}; dropped {', '.join(dropped)}."
