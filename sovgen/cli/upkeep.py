"""library repair|rebuild|backup|restore: what keeps a library through the years."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from index.counting import counted
from sovgen.cli.failure import Failure
from sovgen.cli.listing import fields, print_json, printable
from sovgen.cli.options import as_json
from sovgen.cli.progress import shown
from sovgen.cli.session import Session, notice, notice_failures

if TYPE_CHECKING:
    from index import Repaired


@click.command(epilog="Example: sovgen library repair")
@as_json
@click.pass_obj
def repair(session: Session, form: str | None) -> None:
    """Mend what verify finds, and say what was done.

    Works on a library that cannot be opened, too. Exits 1 when something is left.
    """
    from index import Library

    repaired = Library.repair(session.settings.library)
    if form == "json":
        print_json(fields(repaired))
    else:
        for line in repaired.done:
            click.echo(line)
        for one in repaired.left:
            click.echo("\t".join(map(printable, ("left", one.kind, one.where, one.text))))
    if repaired.left:
        raise Failure(f"{len(repaired.left)} could not be mended.", _helps(repaired))
    notice("Clean." if repaired.done else "Clean; there was nothing to mend.")


def _helps(repaired: Repaired) -> str:
    """What a person can do about what is left."""
    if {each.kind for each in repaired.left} <= {"missing", "changed"}:
        return "Put the files back, from a backup say, or let the pictures go: sovgen delete ID"
    return "Make it again: sovgen library rebuild"


@click.command(epilog="Example: sovgen library rebuild")
@click.option(
    "--encoder",
    metavar="NAME|DIR",
    help="Its CLIP; else the one that the old catalogue names, or the bundled one without it.",
)
@click.pass_obj
def rebuild(session: Session, encoder: str | None) -> None:
    """Make the catalogue again from the picture files and the journal beside them.

    The old catalogue is set aside, not deleted. Stopped half-way, the same command goes on.
    """
    from index import Library
    from index.encoder import load_encoder

    chosen = load_encoder(encoder) if encoder else None
    with shown("Reading", "files") as on_progress:
        rebuilt = Library.rebuild(session.settings.library, chosen, on_progress)
    notice_failures(rebuilt.failed)
    if rebuilt.unread:
        notice(
            f"{counted(rebuilt.unread, 'line')} of the journal could not be read: what was told "
            "there of pictures is missing, or as it was told before."
        )
    if rebuilt.replaced:
        notice(f"The old catalogue is kept as {click.format_filename(rebuilt.replaced)}.")
    pictures = counted(rebuilt.pictures, "picture")
    notice(f"The library holds {pictures}, embedded by {rebuilt.encoder}.")


@click.command(epilog="Example: sovgen library backup ~/sovgen.backup")
@click.argument("file", type=click.Path(path_type=Path))
@click.pass_obj
def backup(session: Session, file: Path) -> None:
    """Write the whole library into one new file, consistent while others write."""
    written = session.open().backup(file.expanduser())
    for id in written.lacking:
        notice(f"Picture {id[:8]} has a file that is missing or was changed; it is not in there.")
    click.echo(written.path)
    notice(f"{counted(written.pictures, 'picture')}, {counted(written.bytes, 'byte')}.")


@click.command(epilog="Example: sovgen library restore ~/sovgen.backup ~/pictures/restored")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
def restore(file: Path, folder: Path) -> None:
    """Lay the library of a backup in an empty folder."""
    from index import Library

    click.echo(Library.from_backup(file.expanduser(), folder.expanduser()).root)
