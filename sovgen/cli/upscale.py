"""upscale: a picture of the library, several times as large."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from sovgen.cli.drawing import draw
from sovgen.cli.failure import typed
from sovgen.cli.options import as_json, by_backend, with_additions
from sovgen.cli.session import Session
from sovgen.cli.variations import DrawnBy, opened


@click.command(epilog="Example: sovgen upscale mfrg2zdf --by 2")
@click.argument("prefix", metavar="ID")
@click.option(
    "--by", type=float, default=2.0, metavar="N", help="How many times as large, 1 to 8; else 2."
)
@click.option(
    "--upscaler", metavar="NAME|DIR", help="An upscaling model's folder, in place of a filter."
)
@click.option(
    "--strength",
    type=float,
    metavar="S",
    help="How much of the detail is drawn anew, 0 to 1; else 0.3, and nothing with --upscaler.",
)
@click.option(
    "--tile", type=int, metavar="N", help="Pixels drawn at once, across and down; else the model's."
)
@click.option("--prompt", metavar="TEXT", help="Other words than its own.")
@click.option("--seed", type=int, metavar="S", help="Another seed than its own.")
@click.option("--steps", type=int, metavar="N", help="Of these, the share --strength is taken.")
@click.option("--model", metavar="NAME|DIR|FILE", help="Another model than its own.")
@with_additions
@by_backend
@as_json
@click.pass_obj
def upscale(
    session: Session,
    /,
    prefix: str,
    by: float,
    upscaler: str | None,
    strength: float | None,
    tile: int | None,
    model: str | None,
    additions: Path | None,
    backend: str | None,
    form: str | None,
    **changed: Any,  # noqa: ANN401 - click's values
) -> None:
    """Draw a picture of the library larger, and sharp again.

    It is scaled, and then its details are drawn anew in tiles that overlap and leave no seam. More
    strength gives more detail and less likeness.
    """
    from sovgen.recipe import Recipe
    from sovgen.variations import begun_from

    given = {name: value for name, value in changed.items() if value is not None}

    def larger(recipe: Recipe, id: str) -> Recipe:
        begun = replace(begun_from(recipe, id), **given)
        return replace(begun, upscale=by, upscaler=upscaler, strength=strength, tile=tile)

    with typed():
        larger(Recipe(prompt="", backend=backend), prefix)
    studio, entry, recipe = opened(session, prefix, DrawnBy(model, additions, backend), whole=False)
    # Tiles follow no ControlNet, look at no references and are handed to no refiner.
    recipe = replace(recipe, control=None, control_image=None, control_weight=None)
    recipe = replace(recipe, refiner=None, refine_from=None, adapter=None, reference=())
    draw(session, studio, [larger(recipe, entry.id)], form)
