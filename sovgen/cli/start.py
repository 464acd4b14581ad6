"""The options that begin a drawing from a picture, and the files and ids behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sovgen.cli.options import gathered
from sovgen.cli.session import Session, notice

if TYPE_CHECKING:
    from PIL import Image

    from sovgen.recipe import Recipe

OPTIONS = (
    click.option(
        "--from",
        "init",
        metavar="ID|FILE",
        help="Begin from this picture; a file is added to the library.",
    ),
    click.option(
        "--strength",
        type=float,
        metavar="S",
        help="How much of it is drawn anew, 0 to 1: so much of the steps is taken. Else 0.75; "
        "1 with --mask, 0.8 with --extend.",
    ),
    click.option(
        "--mask",
        metavar="ID|FILE",
        help="Draw anew only where this picture is white, or transparent if it has any of that.",
    ),
    click.option(
        "--extend", "margins", metavar="L,T,R,B", help="Pixels to add and draw at the four sides."
    ),
)


@dataclass(frozen=True)
class Start:
    """What a drawing begins from, as it was typed: `init` and `mask` are ids or files."""

    init: str | None
    strength: float | None
    mask: str | None
    margins: str | None

    def checked(self, template: Recipe) -> Recipe:
        """The recipe with what was typed; raises BadRecipe before anything is opened."""
        if self.mask and self.margins:
            raise click.UsageError("Give --mask or --extend, not both.")
        return replace(template, **vars(self))

    def found(
        self, session: Session, recipes: Sequence[Recipe], keep: bool
    ) -> tuple[list[Recipe], Mapping[str, Image.Image]]:
        """The recipes with ids in place of what was typed, and the pictures of no library.

        keep: add files to the library, so that the recipe can be drawn again
        """
        sources: dict[str, Image.Image] = {}
        ids: dict[str, Any] = {
            name: find_or_keep(session, word, sources, keep, is_mask=name == "mask")
            for name in ("init", "mask")
            if (word := getattr(self, name))
        }
        return [replace(recipe, **ids) for recipe in recipes], sources


# The command gets `start`.
begun = gathered(OPTIONS, Start, "start")


def find_or_keep(
    session: Session,
    word: str,
    sources: dict[str, Image.Image],
    keep: bool,
    *,
    is_mask: bool = False,
) -> str:
    """The id of the picture that an id or a file names.

    keep: add a file to the library; otherwise its picture goes into `sources`
    """
    from sovgen.sources import find_source, keep_source, read_source

    path = Path(word)
    if not path.is_file():
        return find_source(session.open(), word, hidden=is_mask)
    if keep:
        id, is_new = keep_source(session.open(), path, is_mask=is_mask)
        if is_new:
            where = "in the hidden set masks" if is_mask else "in the library"
            notice(f"{click.format_filename(path)} is {id[:8]} {where} now.")
        return id
    id, image = read_source(path)
    sources[id] = image
    return id
