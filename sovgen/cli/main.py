"""The program `sovgen`: its global options and the table of its commands."""

from __future__ import annotations

from pathlib import Path

import click

from sovgen.cli.failure import told
from sovgen.cli.lazy import LazyGroup
from sovgen.cli.session import Session

COMMANDS = {
    "generate": ("sovgen.cli.generate:generate", "Draw pictures from prompts and keep them."),
    "variations": (
        "sovgen.cli.variations:variations",
        "Draw pictures much like one of the library.",
    ),
    "upscale": (
        "sovgen.cli.upscale:upscale",
        "Draw a picture of the library larger, and sharp again.",
    ),
    "batch": ("sovgen.cli.batch:batch", "Draw many pictures from a plan."),
    "queue": ("sovgen.cli.queue:queue", "See, draw and change what waits to be drawn."),
    "explain": (
        "sovgen.cli.explain:explain",
        "Show how a picture dissolves in noise, and how noise becomes one.",
    ),
    "sweep": (
        "sovgen.cli.sweep:sweep",
        "Measure how few steps are enough for a model on this machine.",
    ),
    "search": ("sovgen.cli.search:search", "Find pictures by words, by likeness, or both."),
    "list": ("sovgen.cli.search:list_pictures", "List pictures, newest first."),
    "show": ("sovgen.cli.picture:show", "Tell all that is known of one picture."),
    "remake": ("sovgen.cli.remake:remake", "Draw a picture again and compare."),
    "add": ("sovgen.cli.add:add", "Take pictures and folders of pictures in."),
    "tag": ("sovgen.cli.picture:tag", "Tag a picture by hand."),
    "note": ("sovgen.cli.picture:note", "Write a note on a picture."),
    "caption": ("sovgen.cli.picture:caption", "Say what a picture shows."),
    "rate": ("sovgen.cli.picture:rate", "Rate pictures from 0 to 5."),
    "set": ("sovgen.cli.sets:sets", "Gather pictures into named sets."),
    "saved": ("sovgen.cli.saved:saved", "List, rename and delete saved searches."),
    "export": ("sovgen.cli.export:export", "Copy pictures out as a clean data set."),
    "grid": ("sovgen.cli.grid:grid", "Lay pictures side by side in one PNG file."),
    "delete": ("sovgen.cli.picture:delete", "Move pictures to the trash."),
    "trash": ("sovgen.cli.trash:trash", "Bring deleted pictures back, or let them go."),
    "duplicates": (
        "sovgen.cli.duplicates:duplicates",
        "Tell what the library holds more than once.",
    ),
    "dedup": ("sovgen.cli.duplicates:dedup", "Make one of pictures that are nearly identical."),
    "library": ("sovgen.cli.library:library", "Make, check, mend and back up a library."),
    "sql": ("sovgen.cli.sql:sql", "Ask the catalogue in SQL."),
    "models": ("sovgen.cli.models:models", "List, describe, fetch, verify and export models."),
    "train": ("sovgen.cli.train:train", "Train, fine-tune and distil models."),
    "info": ("sovgen.cli.info:info", "Tell what this installation runs on."),
}


class Program(LazyGroup):
    """The outermost group: every command runs inside `told`."""

    commands_at = COMMANDS

    def invoke(self, ctx: click.Context) -> object:
        """Run the command, turning errors into what a person reads."""
        with told(ctx.params["debug"]):
            return super().invoke(ctx)


def _print_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"sovgen {version('sovgen')}")
        ctx.exit()


@click.group(cls=Program, epilog='Begin with: sovgen generate "a red fox"')
@click.option(
    "--library",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The library; else SOVGEN_LIBRARY, the config file, the platform's data folder.",
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.option("-v", "--verbose", is_flag=True, help="Say what was chosen and why.")
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and exit.",
)
@click.pass_context
def program(ctx: click.Context, library: Path | None, debug: bool, verbose: bool) -> None:
    """Draw pictures on your own machine, and find them again by words.

    Nothing leaves the machine. Results go to stdout, progress and messages to stderr.
    """
    ctx.obj = Session(library, verbose)
    ctx.obj.quieten()
