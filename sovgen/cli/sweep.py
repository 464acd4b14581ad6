"""sweep: how few steps are enough, measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar

import click

from sovgen.cli.failure import Failure, typed
from sovgen.cli.listing import print_json
from sovgen.cli.options import as_json, size
from sovgen.cli.progress import shown
from sovgen.cli.recipe import CONFIGURED, configured
from sovgen.cli.session import Session, notice

if TYPE_CHECKING:
    from index.encoder import Encoder
    from sovgen.models.load import Model
    from sovgen.seeing.sweep import Sweep

T = TypeVar("T")
_SIDE = 128


def _several(kind: Callable[[str], T]) -> Callable[..., tuple[T, ...]]:
    """Values parted by commas, () when not given; anything else is a usage mistake."""

    def parse(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[T, ...]:
        words = [] if value is None else [word.strip() for word in value.split(",")]
        try:
            if "" in words:
                raise ValueError
            return tuple(map(kind, words))
        except ValueError:
            raise click.BadParameter(f"{value!r} is no list; write it as 2,4,8.") from None

    return parse


@click.command(epilog='Example: sovgen sweep "a red apple" --steps 4,8,16 --to apple-sweep')
@click.argument("prompt", metavar="PROMPT")
@click.option(
    "--steps", callback=_several(int), default="2,4,8,16,32", metavar="N,N", help="Denoising steps."
)
@click.option(
    "--guidance", callback=_several(float), metavar="G,G", help="Else the model's own alone."
)
@click.option(
    "--samplers", callback=_several(str), metavar="NAME,NAME", help="Else the model's own alone."
)
@click.option("--negative", default="", metavar="TEXT", help="What the picture should not be.")
@click.option("--size", callback=size, metavar="WxH", help="Pixels; else the model's own.")
@click.option("--seed", type=int, default=0, metavar="S", help="The first seed, then S+1, ...")
@click.option(
    "--count", type=click.IntRange(min=1), default=4, metavar="N", help="Seeds; 4 when not given."
)
@click.option("--model", metavar="NAME|DIR|FILE", help="A name, a diffusers folder or a file.")
@click.option("--device", metavar="D", help="cpu, cuda, mps or xpu; chosen when not given.")
@click.option("--dtype", metavar="T", help="float32, bfloat16 or float16; chosen when not given.")
@click.option(
    "--to",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    metavar="DIR",
    help="Where grid.png and plot.png go.",
)
@as_json
@click.pass_obj
def sweep(
    session: Session,
    /,
    prompt: str,
    steps: tuple[int, ...],
    guidance: tuple[float, ...],
    samplers: tuple[str, ...],
    size: tuple[int | None, int | None],
    seed: int,
    count: int,
    to: Path,
    form: str | None,
    **drawn: str | None,
) -> None:
    """Measure how few steps are enough for a model on this machine.

    Draws PROMPT with every sampler, guidance and number of steps, and in 64 steps. Writes a grid
    of the pictures and a plot of quality against time; prints what was measured, one way a line,
    and last the answer. Quality is what the library's CLIP says: likeness to the picture of 64
    steps of the same sampler and guidance, which must reach 0.95, and adherence to the prompt,
    which may be 0.01 less than that picture's. The answer is the fastest way that is enough.
    Nothing is added to the library.
    """
    from sovgen.models.device import choose_place
    from sovgen.models.load import load_model
    from sovgen.recipe import Recipe
    from sovgen.seeing import report
    from sovgen.seeing.sweep import refuse_unmeant
    from sovgen.seeing.sweep import sweep as measure
    from sovgen.turn import turn

    drawn |= {name: drawn[name] or None for name in CONFIGURED}
    with typed():
        recipe = Recipe(prompt=prompt, width=size[0], height=size[1], **drawn)  # type: ignore[arg-type]
        recipes = [replace(recipe, seed=seed + number) for number in range(count)]
        refuse_unmeant(recipe, samplers, guidance, steps)
    recipes = [configured(session, recipe) for recipe in recipes]
    recipe = recipes[0]
    with (
        _reserved(to) as (grid, plot),
        turn(choose_place(recipe.device, recipe.dtype).device, notice),
        shown("Measuring", "ways") as bar,
    ):
        model = load_model(recipe.model, recipe.device, recipe.dtype)
        samplers = samplers or (model.defaults.sampler,)
        guidance = guidance or (model.defaults.guidance,)
        swept = measure(model, _encoder(session), recipes, samplers, guidance, steps, bar)
        foot = report.caption(recipes, model)
        report.grid(swept, _SIDE, foot).save(grid, "PNG")
        report.plot(swept, foot).save(plot, "PNG")
    _tell(swept, model, form)
    if swept.failed:
        why = " ".join(f"{report.name_of(one.way)}: {one.error.message}" for one in swept.failed)
        raise Failure(f"Not all could be measured. {why}", "The others are told above.")


@contextmanager
def _reserved(folder: Path) -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """The grid's file and the plot's, made now: what is in the way shows before minutes of
    measuring. What fails leaves nothing behind."""
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    with ExitStack() as undo:
        undo.callback(_remove_empty, made)
        folder.mkdir(parents=True, exist_ok=True)
        files = []
        for path in (folder / "grid.png", folder / "plot.png"):
            files.append(path.open("xb"))
            undo.callback(path.unlink)
            undo.callback(files[-1].close)
        yield files[0], files[1]
        for file in files:
            file.close()
        undo.pop_all()


def _remove_empty(folders: Sequence[Path]) -> None:
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


def _encoder(session: Session) -> Encoder:
    """The library's; the bundled one where there is no library."""
    from index import NoLibrary
    from index.encoder import load_encoder

    try:
        return session.open().encoder
    except NoLibrary:
        return load_encoder(session.settings.encoder)


def _tell(swept: Sweep, model: Model, form: str | None) -> None:
    from sovgen.seeing import report

    rows, answer = report.rows(swept), report.answer(swept, model)
    if form == "json":
        failed = [report.failed_row(one) for one in swept.failed]
        print_json({"ways": rows, "answer": answer, "failed": failed})
        return
    click.echo("\t".join(rows[0]))
    for row in rows:
        click.echo("\t".join(str(value) for value in row.values()))
    click.echo(answer)
