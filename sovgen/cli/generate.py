"""generate: prompts become pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sovgen.cli.best import chosen_by
from sovgen.cli.drawing import draw
from sovgen.cli.failure import typed
from sovgen.cli.grid import PNG, png
from sovgen.cli.options import as_json
from sovgen.cli.recipe import drawn_by
from sovgen.cli.refined import Refined, finished_by
from sovgen.cli.seeds import Seeds, seeded
from sovgen.cli.session import Session, notice
from sovgen.cli.start import Start, begun
from sovgen.cli.steered import Steered, steered_by_pictures

if TYPE_CHECKING:
    from PIL.Image import Image

    from sovgen.choosing import Choice
    from sovgen.recipe import Recipe
    from sovgen.studio import Studio


@click.command(epilog='Example: sovgen generate "a red fox in the snow" --count 4 --seed 7')
@click.argument("prompts", nargs=-1, required=True, metavar="PROMPT...")
@click.option(
    "--count", type=click.IntRange(min=1), default=1, metavar="N", help="Pictures of each prompt."
)
@seeded
@chosen_by
@begun
@steered_by_pictures
@finished_by
@drawn_by
@click.option("--safety", is_flag=True, help="Run the model's own safety checker and record it.")
@click.option("--private", is_flag=True, help="Leave no prompt in file, name or catalogue.")
@click.option("--no-index", is_flag=True, help="Write into the current folder; add to no library.")
@click.option("--exact", is_flag=True, help="Draw each alone, so that no batch touches its pixels.")
@click.option(
    "--grid", type=PNG, callback=png, metavar="FILE", help="Also lay them side by side in this PNG."
)
@as_json
@click.pass_obj
def generate(
    session: Session,
    prompts: tuple[str, ...],
    count: int,
    seeds: Seeds,
    template: Recipe,
    start: Start,
    steered: Steered,
    refined: Refined,
    choice: Choice | None,
    safety: bool,
    private: bool,
    no_index: bool,
    exact: bool,
    grid: Path | None,
    form: str | None,
) -> None:
    """Draw pictures from prompts and keep them.

    Each PROMPT is drawn --count times. Every picture is found by `sovgen search` from the moment
    it is printed. Ctrl-C drops the picture in hand; those before it stay.
    """
    if no_index:
        _tell_folders(prompts)
    drawn = choice.drawn if choice else count
    with typed():
        template = refined.checked(steered.checked(start.checked(template)))
        recipes = seeds.each(prompts, drawn, template)
    if grid:
        _refuse_standing(grid)
    studio = _studio(session, recipes[0], safety, no_index)
    recipes, sources = start.found(session, recipes, keep=not no_index)
    recipes, seen = steered.found(session, recipes, keep=not no_index)
    shown: list[Image] = []
    try:
        draw(
            session,
            studio,
            recipes,
            form,
            private=private,
            index=not no_index,
            exact=exact,
            sources={**sources, **seen},
            on_made=lambda made: shown.append(made.picture.image) if grid else None,
            choice=choice,
        )
    finally:
        _write_grid(grid, shown)


def _tell_folders(prompts: Sequence[str]) -> None:
    """--no-index takes no folder: a word behind it is one more prompt."""
    for prompt in prompts:
        if prompt and Path(prompt).is_dir():
            notice(f"{prompt!r} is drawn as a prompt; the pictures go into the current folder.")


def _write_grid(path: Path | None, images: Sequence[Image]) -> None:
    """Also of what there is when drawing ended early."""
    if path and images:
        from index.export.grid import write_grid

        write_grid(images, path)


def _refuse_standing(path: Path) -> None:
    from index.export.grid import refuse_standing

    refuse_standing(path)


def _studio(session: Session, template: Recipe, safety: bool, no_index: bool) -> Studio:
    from sovgen.models.additions.wanted import find_additions
    from sovgen.models.description import read_layout
    from sovgen.models.store import find_model
    from sovgen.studio import Studio

    # A model that cannot be drawn with is refused before a library is made for its pictures.
    read_layout(find_model(template.model))
    find_additions(template)
    library = session.settings.library if no_index else session.open_or_create()
    return Studio(
        library, template.model, device=template.device, dtype=template.dtype, safety=safety
    )
