"""trash list|restore|empty: pictures that were deleted and are still there."""

from __future__ import annotations

import click

from index.counting import counted
from sovgen.cli.lazy import LazyGroup
from sovgen.cli.listing import print_lines, printable
from sovgen.cli.options import as_json, many_ids
from sovgen.cli.session import Session, notice


class Trash(LazyGroup):
    """The commands of `sovgen trash`."""

    commands_at = {
        "list": ("sovgen.cli.trash:list_trash", "List what was deleted, the newest first."),
        "restore": (
            "sovgen.cli.trash:restore",
            "Bring pictures back, with all that was said of them.",
        ),
        "empty": ("sovgen.cli.trash:empty", "Remove what is in the trash for good."),
    }


@click.group(cls=Trash, epilog="Example: sovgen trash restore mfrg2zdf")
def trash() -> None:
    """Bring deleted pictures back, or let them go."""


@click.command("list", epilog="Example: sovgen trash list --json")
@as_json
@click.pass_obj
def list_trash(session: Session, form: str | None) -> None:
    """List what was deleted, the newest first."""
    print_lines(
        session.open().trashed(),
        form,
        lambda one: f"{one.id}\t{one.deleted:%Y-%m-%d %H:%M}\t{printable(one.prompt or '')}",
    )


@click.command(epilog="Example: sovgen trash restore mfrg2zdf")
@many_ids
@click.pass_obj
def restore(session: Session, ids: tuple[str, ...]) -> None:
    """Bring pictures back, with all that was said of them."""
    notice(f"Restored {session.open().restore(ids)}.")


@click.command(epilog="Example: sovgen trash empty --yes")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def empty(session: Session, yes: bool) -> None:
    """Remove what is in the trash for good.

    Also what hidden sets hold there, which `sovgen trash list` does not tell of.
    """
    library = session.open()
    listed = len(library.trashed())
    if not yes:
        what = f"{counted(listed, 'picture')}, and any of hidden sets,"
        click.confirm(f"Remove {what} from the trash for good?", abort=True, err=True)
    library.empty_trash()
    notice("The trash is empty.")
