"""The options that say which noise each picture is drawn from."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import click

from sovgen.cli.options import gathered

if TYPE_CHECKING:
    from sovgen.recipe import Recipe

OPTIONS = (
    click.option(
        "--seed", type=int, metavar="S", help="The first seed, then S+1, ...; else random."
    ),
    click.option(
        "--variation",
        type=float,
        metavar="V",
        help="How far the noise goes from the seed's, the same for all then, to that of "
        "--variation-seed, 0 to 1.",
    ),
    click.option(
        "--variation-seed",
        type=int,
        metavar="S",
        help="The first seed of the variations, then S+1, ...; else random.",
    ),
)


@dataclass(frozen=True)
class Seeds:
    """Where seeds begin, as it was typed."""

    seed: int | None
    variation: float | None
    variation_seed: int | None

    def each(self, prompts: Sequence[str], count: int, template: Recipe) -> list[Recipe]:
        """`count` recipes of each prompt; raises BadRecipe before any model is loaded."""
        from sovgen.variations import near_seed

        if self.variation is None:
            template = replace(template, variation_seed=self.variation_seed)
            seeds = [_run(self.seed, count) for _ in prompts]
            pairs = zip(prompts, seeds, strict=True)
            return [replace(template, prompt=p, seed=seed) for p, own in pairs for seed in own]
        one = replace(template, seed=_run(self.seed, 1)[0])
        return [
            near
            for prompt in prompts
            for near in near_seed(
                replace(one, prompt=prompt), self.variation, _run(self.variation_seed, count)
            )
        ]


def _run(first: int | None, count: int) -> Sequence[int]:
    if first is None:
        return [secrets.randbits(32) for _ in range(count)]
    return range(first, first + count)


# The command gets `seeds`.
seeded = gathered(OPTIONS, Seeds, "seeds")
