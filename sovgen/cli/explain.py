"""explain: both halves of diffusion as one picture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sovgen.cli.failure import typed
from sovgen.cli.grid import PNG, png
from sovgen.cli.interrupt import held_until_step
from sovgen.cli.progress import shown
from sovgen.cli.recipe import watched_by
from sovgen.cli.session import Session, notice

if TYPE_CHECKING:
    from PIL import Image

    from sovgen.recipe import Recipe


@click.command(epilog='Example: sovgen explain "a red apple" --seed 7 --to apple.png')
@click.argument("prompt", metavar="PROMPT")
@click.option("--seed", type=int, default=0, metavar="S", help="What the noise is drawn from.")
@watched_by
@click.option(
    "--from", "source", metavar="ID|FILE", help="What dissolves; else the picture that is drawn."
)
@click.option(
    "--frames", type=click.IntRange(2, 24), default=7, help="Moments to show; 7 when not given."
)
@click.option(
    "--to",
    type=PNG,
    callback=png,
    metavar="FILE.png",
    help="A file that is not there yet; else explain-PROMPT-SEED.png in this folder.",
)
@click.pass_obj
def explain(
    session: Session,
    prompt: str,
    seed: int,
    template: Recipe,
    source: str | None,
    frames: int,
    to: Path | None,
) -> None:
    """Show how a picture dissolves in noise, and how noise becomes one.

    Writes one film strip: a picture noised step by step; what the denoiser is given at each step;
    and the picture that it sees in that. Nothing is added to the library.
    """
    from index.placing import slug
    from index.prompt import plain_words
    from sovgen.models.device import choose_place
    from sovgen.models.load import load_model
    from sovgen.seeing.film import watch
    from sovgen.seeing.strip import film_strip
    from sovgen.turn import turn

    with typed():
        recipe = replace(template, prompt=prompt, seed=seed)
    path = to or Path(f"explain-{slug(plain_words(prompt))}-{seed}.png")
    with path.open("xb") as file:
        try:
            ground = _source(session, source) if source else None
            with (
                turn(choose_place(recipe.device, recipe.dtype).device, notice),
                held_until_step() as due,
                shown("Drawing", "steps") as bar,
            ):
                model = load_model(recipe.model, recipe.device, recipe.dtype)

                def on_step(step: int, steps: int, latents: object) -> None:
                    bar(step, steps)
                    due()

                film = watch(model, recipe, frames, ground, on_step)
            film_strip(film).save(file, "PNG")
        except BaseException:
            path.unlink()
            raise
    click.echo(click.format_filename(path))


def _source(session: Session, word: str) -> Image.Image:
    from index.export.source import read_source as read_kept
    from sovgen.sources import find_source, read_source

    path = Path(word)
    if path.is_file():
        return read_source(path)[1]
    library = session.open()
    return read_kept(library.store, library.get(find_source(library, word))).image
