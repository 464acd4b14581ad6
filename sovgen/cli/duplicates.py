"""duplicates, dedup: what a library holds more than once, and making one of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from index.counting import counted
from sovgen.cli.listing import NOTHING, print_json, printable
from sovgen.cli.options import as_json
from sovgen.cli.session import Session, notice

if TYPE_CHECKING:
    from index.duplicates import Group, Keep, Kind

KINDS: tuple[Kind, ...] = ("files", "pixels", "near", "similar")
keep_option = click.option(
    "--keep",
    type=click.Choice(["best", "oldest", "newest"]),
    default="best",
    show_default=True,
    help="Which one stands first, to be kept.",
)


@click.command(epilog="Example: sovgen duplicates --kind near --kind similar")
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    type=click.Choice(KINDS),
    help="Only this kind; may be repeated.",
)
@keep_option
@as_json
@click.pass_obj
def duplicates(session: Session, kinds: tuple[Kind, ...], keep: Keep, form: str | None) -> None:
    """Tell what the library holds more than once.

    Four kinds, told apart: "files" are one file, byte for byte, at several paths; "pixels" one
    picture in several files; "near" pictures that are one but for encoding, size, or edges that
    were cut off a little; "similar" pictures that only look alike.

    One line a copy, its columns parted by tabs: kind, number of the group, likeness, id, size,
    path; the one to keep is the first of its group: best is what tells how it was made, then the
    largest, then what lost nothing to its format. Nothing is changed.
    """
    from index import duplicates as found

    groups = found.duplicates(session.open().store, kinds or KINDS, keep)
    if form == "json":
        print_json(groups)
    else:
        _print_groups(groups)
        if not groups:
            notice(NOTHING)


@click.command(epilog="Example: sovgen dedup --dry-run")
@keep_option
@click.option("--dry-run", is_flag=True, help="Tell what would be done, and do nothing.")
@as_json
@click.pass_obj
def dedup(session: Session, keep: Keep, dry_run: bool, form: str | None) -> None:
    """Make one of pictures that are nearly identical.

    The first of each group of "near" duplicates stays, and gets the tags, the sets, the notes and
    the highest rating of the others, which go to the trash. Of files in the library that are the
    same byte for byte, one stays; files that stand elsewhere are left alone.
    """
    from index import dedup as merging

    done = merging.dedup(session.open().store, keep, dry_run=dry_run)
    if form == "json":
        print_json(done)
    else:
        _print_groups(done.near)
        for path in done.removed:
            click.echo(f"removed\t{printable(path)}")
    merged = sum(len(group.copies) - 1 for group in done.near)
    copies = counted(len(done.removed), "copy of a file", "copies of files")
    told = f"{merged:,} to the trash, {copies} removed"
    notice(f"{told}; nothing was done yet." if dry_run else f"{told}.")


def _print_groups(groups: Sequence[Group]) -> None:
    for number, group in enumerate(groups, 1):
        for copy in group.copies:
            size = f"{copy.width}x{copy.height}"
            columns = (group.kind, number, f"{copy.likeness:.3f}", copy.id, size, copy.path)
            click.echo("\t".join(map(printable, columns)))
