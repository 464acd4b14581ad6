"""The options that steer a drawing by pictures: what a ControlNet follows, an IP-Adapter sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click

from sovgen.cli.options import gathered
from sovgen.cli.session import Session
from sovgen.cli.start import find_or_keep

if TYPE_CHECKING:
    from PIL import Image

    from sovgen.recipe import Recipe

OPTIONS = (
    click.option("--control", metavar="NAME|DIR", help="A ControlNet; it follows a picture."),
    click.option(
        "--control-image",
        metavar="ID|FILE",
        help="The picture it follows, taken as it is: edges or depth are found elsewhere.",
    ),
    click.option("--control-weight", type=float, metavar="W", help="How closely, 0 to 2; else 1."),
    click.option(
        "--adapter", metavar="NAME|DIR|FILE", help="An IP-Adapter; it looks at references."
    ),
    click.option(
        "--reference",
        multiple=True,
        metavar="ID|FILE[:W]",
        help="A picture for the adapter to look at, and how much, 0 to 2; else 1.",
    ),
)


@dataclass(frozen=True)
class Steered:
    """What steers a drawing, as it was typed: its pictures are ids or files."""

    control: str | None
    control_image: str | None
    control_weight: float | None
    adapter: str | None
    reference: tuple[str, ...]

    def checked(self, template: Recipe) -> Recipe:
        """The recipe with what was typed; raises BadRecipe before anything is opened."""
        return replace(template, **vars(self))

    def found(
        self, session: Session, recipes: Sequence[Recipe], keep: bool
    ) -> tuple[list[Recipe], Mapping[str, Image.Image]]:
        """The recipes with ids in place of what was typed, and the pictures of no library.

        keep: add files to the library, so that the recipe can be drawn again
        """
        from sovgen.weighted import split_weight, with_weight

        sources: dict[str, Image.Image] = {}

        def find(word: str) -> str:
            return find_or_keep(session, word, sources, keep)

        ids: dict[str, Any] = {"control_image": self.control_image and find(self.control_image)}
        seen = [split_weight(word) for word in self.reference]
        ids["reference"] = tuple(with_weight(find(word), weight) for word, weight in seen)
        return [replace(recipe, **ids) for recipe in recipes], sources


# The command gets `steered`.
steered_by_pictures = gathered(OPTIONS, Steered, "steered")
