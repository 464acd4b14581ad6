"""The options by which a second model finishes what the first began."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import click

from sovgen.cli.options import gathered

if TYPE_CHECKING:
    from sovgen.recipe import Recipe

OPTIONS = (
    click.option(
        "--refiner",
        metavar="NAME|DIR|FILE",
        help="A model of the same latent that takes over before the end, such as SDXL's refiner.",
    ),
    click.option(
        "--refine-from",
        type=float,
        metavar="F",
        help="It takes over when this share of the noise schedule is gone, 0 to 1; else 0.8.",
    ),
)


@dataclass(frozen=True)
class Refined:
    """What finishes a drawing, as it was typed."""

    refiner: str | None
    refine_from: float | None

    def checked(self, template: Recipe) -> Recipe:
        """The recipe with what was typed; raises BadRecipe before anything is opened."""
        return replace(template, **vars(self))


# The command gets `refined`.
finished_by = gathered(OPTIONS, Refined, "refined")
