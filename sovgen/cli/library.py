"""library new|info|verify|reembed: the library as a whole; its upkeep is `upkeep.py`."""

from __future__ import annotations

from pathlib import Path

import click

from index.counting import counted
from sovgen.cli.failure import Failure
from sovgen.cli.lazy import LazyGroup
from sovgen.cli.listing import fields, print_json, print_pairs, printable
from sovgen.cli.options import as_json
from sovgen.cli.progress import shown
from sovgen.cli.session import Session, notice, notice_failures


class LibraryGroup(LazyGroup):
    """The commands of `sovgen library`."""

    commands_at = {
        "new": ("sovgen.cli.library:new", "Make an empty library."),
        "info": ("sovgen.cli.library:info", "Tell what the library holds and how it searches."),
        "verify": (
            "sovgen.cli.library:verify",
            "Check rows, files, thumbnails and vectors against each other.",
        ),
        "reembed": (
            "sovgen.cli.library:reembed",
            "Give every picture a vector of another encoder.",
        ),
        "repair": ("sovgen.cli.upkeep:repair", "Mend what verify finds, and say what was done."),
        "rebuild": (
            "sovgen.cli.upkeep:rebuild",
            "Make the catalogue again from the picture files and the journal beside them.",
        ),
        "backup": (
            "sovgen.cli.upkeep:backup",
            "Write the whole library into one new file, consistent while others write.",
        ),
        "restore": ("sovgen.cli.upkeep:restore", "Lay the library of a backup in an empty folder."),
    }


@click.group(cls=LibraryGroup, epilog="Example: sovgen library info")
def library() -> None:
    """Make, check, mend and back up a library."""


@click.command(epilog="Example: sovgen library new ~/pictures/sovgen")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--encoder", metavar="NAME|DIR", help="Its CLIP; the bundled one when not given.")
@click.pass_obj
def new(session: Session, folder: Path, encoder: str | None) -> None:
    """Make an empty library.

    The bundled encoder knows clip-art and illustrations; for photographs give the folder of an
    OpenCLIP or a transformers CLIP model.
    """
    made = session.create(folder.expanduser(), encoder or session.settings.encoder)
    click.echo(made.root)


@click.command(epilog="Example: sovgen library info --json")
@as_json
@click.pass_obj
def info(session: Session, form: str | None) -> None:
    """Tell what the library holds and how it searches."""
    known = fields(session.open().info())
    if form == "json":
        print_json(known)
    else:
        print_pairs(known)


@click.command(epilog="Example: sovgen library verify && echo clean")
@as_json
@click.pass_obj
def verify(session: Session, form: str | None) -> None:
    """Check rows, files, thumbnails and vectors against each other.

    Exits 0 when nothing differs, 1 otherwise.
    """
    differences = session.open().verify()
    if form == "json":
        print_json(differences)
    else:
        for one in differences:
            click.echo("\t".join(map(printable, (one.kind, one.where, one.text))))
    if differences:
        found = counted(len(differences), "difference")
        raise Failure(f"{found} found.", "Mend them: sovgen library repair")
    notice("Clean.")


@click.command(epilog="Example: sovgen library reembed --encoder ~/models/ViT-L-14")
@click.option("--encoder", required=True, metavar="NAME|DIR", help="The CLIP to change to.")
@click.pass_obj
def reembed(session: Session, encoder: str) -> None:
    """Give every picture a vector of another encoder.

    The old vectors answer until the new ones are complete. Stopped half-way, the same command
    goes on where it was.
    """
    from index.encoder import load_encoder

    library, chosen = session.open(), load_encoder(encoder)
    with shown("Embedding", "pictures") as on_progress:
        report = library.reembed(chosen, on_progress)
    notice_failures(report.failed)
    notice(f"Embedded {report.done} anew; the library's encoder is {chosen.name}.")
