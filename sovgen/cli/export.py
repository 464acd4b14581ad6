"""export: pictures leave the library as a data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sovgen.cli.choice import Choice, chosen
from sovgen.cli.session import Session, notice

if TYPE_CHECKING:
    from index.export import Format, Metadata

FORMATS = ("folder", "csv", "jsonl", "parquet", "sheet")


@click.command(epilog="Example: sovgen export --set foxes --to ~/datasets/foxes --format jsonl")
@chosen
@click.option(
    "--to",
    "folder",
    required=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where the data set goes.",
)
@click.option(
    "--format",
    "shape",
    type=click.Choice(FORMATS),
    default="folder",
    show_default=True,
    help="The manifest's form; sheet is one picture of all of them.",
)
@click.option(
    "--metadata",
    type=click.Choice(("full", "prompt", "none")),
    default="none",
    show_default=True,
    help="How much of its making goes with a picture.",
)
@click.option("--force", is_flag=True, help="Overwrite files that stand in the way.")
@click.pass_obj
def export(
    session: Session,
    choice: Choice,
    folder: Path,
    shape: Format,
    metadata: Metadata,
    force: bool,
) -> None:
    """Copy pictures out as a clean data set.

    A manifest with checksums goes beside them. With --metadata none no byte that is written tells
    a prompt, a path, a host or a user.
    """
    from index.export import export as write

    library = session.open()
    entries = choice.entries(library)
    write(library, entries, folder, shape, metadata, force)
    notice(f"Exported {len(entries)} to {folder}.")
