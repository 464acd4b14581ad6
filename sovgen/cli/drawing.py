"""How every command that draws goes about it: Ctrl-C, progress, one line for each picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from sovgen.cli.interrupt import held_until_step
from sovgen.cli.listing import fields, print_json, print_line
from sovgen.cli.progress import off_screen, shown
from sovgen.cli.session import Session, notice

if TYPE_CHECKING:
    from PIL import Image

    from sovgen.choosing import Choice
    from sovgen.recipe import Recipe
    from sovgen.studio import Made, Studio


def draw(
    session: Session,
    studio: Studio,
    recipes: Sequence[Recipe],
    form: str | None,
    *,
    private: bool = False,
    index: bool = True,
    exact: bool = False,
    sources: Mapping[str, Image.Image] | None = None,
    choice: Choice | None = None,
    on_made: Callable[[Made], None] = lambda made: None,
) -> None:
    """Draw and keep the recipes; see `Studio.make` for the switches.

    form: "json" for one array at the end, else a line for each picture as it is kept
    on_made: called with each picture that was kept
    """
    with held_until_step() as due, studio.turn(notice), shown("Drawing", "steps") as bar:

        def on_step(step: int, steps: int, latents: object) -> None:
            bar(step, steps)
            due()

        session.say(f"{studio.model.name} on {studio.model.device}.")
        session.say(f"{studio.model.dtype}: {studio.model.dtype_reason}.")
        made = studio.make(
            recipes,
            private=private,
            index=index,
            exact=exact,
            sources=sources,
            choice=choice,
            on_step=on_step,
            on_notice=notice,
        )
        _print_made(_passed(made, on_made), form)


def _passed(made: Iterator[Made], on_made: Callable[[Made], None]) -> Iterator[Made]:
    for one in made:
        on_made(one)
        yield one


def _print_made(made: Iterator[Made], form: str | None) -> None:
    """One line for each picture as it is kept, or one JSON array of all, even of those before
    something went wrong."""
    kept: list[dict[str, object]] = []
    try:
        for one in made:
            kept.append(_fields(one))
            if form != "json":
                with off_screen():
                    print_line(kept[-1])
    finally:
        if form == "json":
            with off_screen():
                print_json(kept)


def _fields(made: Made) -> dict[str, object]:
    if made.entry:
        return fields(made.entry)
    return {"id": made.picture.id, "path": str(made.path), **made.picture.recipe.to_dict()}
