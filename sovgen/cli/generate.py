"""generate: prompts become pictures."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from sovgen.cli.interrupt import held_until_step
from sovgen.cli.listing import fields, print_json, print_line
from sovgen.cli.options import as_json, size
from sovgen.cli.progress import shown
from sovgen.cli.session import Session, notice

if TYPE_CHECKING:
    from sovgen.recipe import Recipe
    from sovgen.studio import Made


@click.command(epilog='Example: sovgen generate "a red fox in the snow" --count 4 --seed 7')
@click.argument("prompts", nargs=-1, required=True, metavar="PROMPT...")
@click.option("--negative", default="", metavar="TEXT", help="What the picture should not be.")
@click.option(
    "--count", type=click.IntRange(min=1), default=1, metavar="N", help="Pictures of each prompt."
)
@click.option("--seed", type=int, metavar="S", help="The first seed, then S+1, ...; else random.")
@click.option("--steps", type=int, metavar="N", help="Denoising steps; else the model's own.")
@click.option(
    "--guidance",
    type=float,
    metavar="G",
    help="How strictly to follow the prompt; 1 turns it off.",
)
@click.option(
    "--size", "wanted", callback=size, metavar="WxH", help="Pixels; else the model's own."
)
@click.option("--sampler", metavar="NAME", help="Such as 'euler a'; else the model's own.")
@click.option("--model", metavar="NAME|DIR|FILE", help="A name, a diffusers folder or a file.")
@click.option("--device", metavar="D", help="cpu, cuda, mps or xpu; chosen when not given.")
@click.option("--dtype", metavar="T", help="float32, bfloat16 or float16; chosen when not given.")
@click.option("--safety", is_flag=True, help="Run the model's own safety checker and record it.")
@click.option("--private", is_flag=True, help="Leave no prompt in file, name or catalogue.")
@click.option("--no-index", is_flag=True, help="Write into this folder; add to no library.")
@click.option("--exact", is_flag=True, help="Draw each alone, so that no batch touches its pixels.")
@as_json
@click.pass_obj
def generate(
    session: Session,
    prompts: tuple[str, ...],
    negative: str,
    count: int,
    seed: int | None,
    steps: int | None,
    guidance: float | None,
    wanted: tuple[int | None, int | None],
    sampler: str | None,
    model: str | None,
    device: str | None,
    dtype: str | None,
    safety: bool,
    private: bool,
    no_index: bool,
    exact: bool,
    form: str | None,
) -> None:
    """Draw pictures from prompts and keep them.

    Each PROMPT is drawn --count times. Every picture is found by `sovgen search` from the moment
    it is printed. Ctrl-C drops the picture in hand; those before it stay.
    """
    from sovgen.recipe import Recipe
    from sovgen.studio import Studio

    source = model or session.settings.model
    device, dtype = device or session.settings.device, dtype or session.settings.dtype
    width, height = wanted
    template = Recipe(
        prompt="",
        negative=negative,
        model=source,
        steps=steps,
        guidance=guidance,
        width=width,
        height=height,
        sampler=sampler,
        device=device,
        dtype=dtype,
    )
    recipes = _each(prompts, count, seed, template)
    library = session.settings.library if no_index else session.open_or_create()
    studio = Studio(library, source, device=device, dtype=dtype, safety=safety)
    with held_until_step() as due, shown("Drawing", "steps") as bar:

        def on_step(step: int, steps: int, latent: object) -> None:
            bar(step, steps)
            due()

        session.say(f"{studio.model.name} on {studio.model.device}.")
        session.say(f"{studio.model.dtype}: {studio.model.dtype_reason}.")
        switches = {"private": private, "index": not no_index, "exact": exact}
        _print_made(studio.make(recipes, **switches, on_step=on_step, on_notice=notice), form)


def _each(prompts: Sequence[str], count: int, seed: int | None, template: Recipe) -> list[Recipe]:
    """`count` recipes of each prompt; raises BadRecipe before any model is loaded."""

    def seeds() -> Iterable[int]:
        if seed is None:
            return [secrets.randbits(32) for _ in range(count)]
        return range(seed, seed + count)

    return [replace(template, prompt=prompt, seed=s) for prompt in prompts for s in seeds()]


def _print_made(made: Iterator[Made], form: str | None) -> None:
    """One line for each picture as it is kept, or one JSON array of all, even of those before
    something went wrong."""
    kept: list[dict[str, object]] = []
    try:
        for one in made:
            kept.append(_fields(one))
            if form != "json":
                print_line(kept[-1])
    finally:
        if form == "json":
            print_json(kept)


def _fields(made: Made) -> dict[str, object]:
    if made.entry:
        return fields(made.entry)
    return {"id": made.picture.id, "path": str(made.path), **made.picture.recipe.to_dict()}
