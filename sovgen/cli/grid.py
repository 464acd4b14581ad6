"""grid: pictures side by side in one file."""

from __future__ import annotations

from pathlib import Path

import click

from sovgen.cli.choice import Choice, chosen
from sovgen.cli.failure import Failure
from sovgen.cli.session import Session, notice


def png(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path | None:
    """A file to write, in a folder that is there."""
    if value is None:
        return None
    if value.suffix.lower() != ".png":
        raise click.BadParameter(f"{value} is no PNG file by its name; end it with .png.")
    if not value.absolute().parent.is_dir():
        raise click.BadParameter(f"There is no folder {value.parent}.")
    return value


PNG = click.Path(path_type=Path, dir_okay=False)


@click.command(epilog='Example: sovgen grid --search "a fox" -k 9 --to foxes.png')
@chosen
@click.option("--to", type=PNG, required=True, callback=png, metavar="FILE", help="A PNG file.")
@click.option("--columns", type=click.IntRange(min=1), metavar="N", help="Else about square.")
@click.option("--force", is_flag=True, help="Overwrite what stands in the way.")
@click.pass_obj
def grid(session: Session, choice: Choice, to: Path, columns: int | None, force: bool) -> None:
    """Lay pictures side by side in one PNG file.

    The file shows the pictures and tells nothing else of them. For sheets with numbers and
    prompts: sovgen export --format sheet.
    """
    from index.export.grid import refuse_standing, write_grid
    from index.export.source import read_source

    refuse_standing(to, force)
    library = session.open()
    entries = choice.entries(library)
    if not entries:
        raise Failure("There is no picture to lay out.", "See what a set holds: sovgen set show")
    write_grid([read_source(library.store, entry).image for entry in entries], to, columns)
    notice(f"Laid {len(entries)} out in {click.format_filename(to)}.")
