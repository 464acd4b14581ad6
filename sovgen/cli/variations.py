"""variations: near relatives of a picture of the library."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sovgen.cli.drawing import draw
from sovgen.cli.failure import typed
from sovgen.cli.options import as_json, by_backend, with_additions
from sovgen.cli.session import Session

if TYPE_CHECKING:
    from index import Entry
    from sovgen.recipe import Recipe
    from sovgen.studio import Studio


@click.command(epilog="Example: sovgen variations mfrg2zdf --count 6 --variation 0.15")
@click.argument("prefix", metavar="ID")
@click.option(
    "--count",
    type=click.IntRange(min=1),
    default=4,
    show_default=True,
    metavar="N",
    help="How many.",
)
@click.option(
    "--variation",
    type=float,
    metavar="V",
    help="How far the noise goes from its own seed's to another's, 0 to 1; else 0.2.",
)
@click.option(
    "--strength",
    type=float,
    metavar="S",
    help="Begin from its pixels instead, drawing so much of them anew, 0 to 1.",
)
@click.option("--prompt", metavar="TEXT", help="Other words than its own.")
@click.option("--seed", type=int, metavar="S", help="The first seed, then S+1, ...; else random.")
@click.option("--model", metavar="NAME|DIR|FILE", help="Another model than its own.")
@with_additions
@by_backend
@as_json
@click.pass_obj
def variations(
    session: Session,
    prefix: str,
    count: int,
    variation: float | None,
    strength: float | None,
    prompt: str | None,
    seed: int | None,
    model: str | None,
    additions: Path | None,
    backend: str | None,
    form: str | None,
) -> None:
    """Draw pictures much like one of the library.

    By its recipe, with noise near that of its seed: its parts shift, what it shows stays. Or, with
    --strength, by its pixels, which serves any picture.
    """
    if variation is not None and strength is not None:
        raise click.UsageError("Give --variation or --strength, not both.")
    from sovgen.recipe import Recipe
    from sovgen.variations import near_pixels, near_seed

    first = secrets.randbits(32) if seed is None else seed
    seeds = range(first, first + count)

    def near(recipe: Recipe, id: str) -> list[Recipe]:
        if strength is None:
            return near_seed(recipe, 0.2 if variation is None else variation, seeds)
        return near_pixels(recipe, id, strength, seeds)

    with typed():
        near(Recipe(prompt="", backend=backend), prefix)
    drawn_by = DrawnBy(model, additions, backend)
    studio, entry, recipe = opened(session, prefix, drawn_by, whole=strength is None)
    recipe = recipe if prompt is None else replace(recipe, prompt=prompt)
    draw(session, studio, near(recipe, entry.id), form)


@dataclass(frozen=True)
class DrawnBy:
    """What a picture of the library is drawn on by, where it is not as its recipe says.

    model: another than its own; additions: the folder where its LoRAs and the like are
    """

    model: str | None
    additions: Path | None
    backend: str | None


def opened(
    session: Session, prefix: str, drawn_by: DrawnBy, *, whole: bool
) -> tuple[Studio, Entry, Recipe]:
    """A studio for a picture of the library, the picture, and its recipe for this machine.

    whole: raise BadRecipe unless its recipe is known; else its words are enough
    """
    from sovgen.errors import BadRecipe
    from sovgen.models.store import find_model
    from sovgen.studio import Studio
    from sovgen.variations import words_of

    library, settings = session.open(), session.settings
    if Path(prefix).is_file():
        raise BadRecipe(
            f"{prefix} is a file, and not yet a picture of the library.",
            f"First: sovgen add {prefix}",
        )
    entry = library.get(prefix)
    is_own = entry.producer == "sovgen" and entry.prompt is not None and entry.seed is not None
    if whole and not is_own:
        raise BadRecipe(
            f"How {entry.id[:8]} was made is not known in full, so its seed has no neighbours.",
            "Begin from its pixels: add --strength 0.5.",
        )
    source = drawn_by.model or (entry.model if is_own else None) or settings.model
    if source is not None:
        find_model(source)
    folders = [drawn_by.additions] if drawn_by.additions else []
    studio = Studio(library, source, device=settings.device, dtype=settings.dtype, folders=folders)
    recipe = studio.recipe_of(entry.id) if is_own else words_of(entry)
    # A sampler that belongs to its own model would not be known to another.
    recipe = replace(recipe, sampler=None, model=None) if drawn_by.model else recipe
    # What computes is this machine's affair.
    recipe = replace(recipe, device=settings.device, dtype=settings.dtype, backend=drawn_by.backend)
    return studio, entry, recipe
