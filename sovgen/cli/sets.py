"""set new|add|remove|delete|list|show|hide|unhide: named sets of pictures, in an order."""

from __future__ import annotations

import click

from sovgen.cli.lazy import LazyGroup
from sovgen.cli.listing import print_found, print_lines, printable
from sovgen.cli.options import as_json, forms, many_ids
from sovgen.cli.session import Session, notice


class Sets(LazyGroup):
    """The commands of `sovgen set`."""

    commands_at = {
        "new": ("sovgen.cli.sets:new", "Make an empty set."),
        "add": ("sovgen.cli.sets:add", "Put pictures into a set, at its end or at a place."),
        "remove": ("sovgen.cli.sets:remove", "Take pictures out of a set."),
        "delete": ("sovgen.cli.sets:delete", "Unmake a set; its pictures stay."),
        "list": ("sovgen.cli.sets:list_sets", "List the sets and how many pictures each holds."),
        "show": ("sovgen.cli.sets:show", "List the pictures of a set, in its order."),
        "hide": ("sovgen.cli.sets:hide", "Keep a set and its pictures out of sight."),
        "unhide": ("sovgen.cli.sets:unhide", "End the hiding of a set."),
    }


@click.group("set", cls=Sets, epilog="Example: sovgen set add foxes mfrg2zdf nvsxe3dp")
def sets() -> None:
    """Gather pictures into named sets.

    A set keeps the order in which pictures were put in; `sovgen set add NAME ID --at N` changes it.
    `sovgen export --set NAME` copies it out.
    """


@click.command(epilog="Example: sovgen set new foxes")
@click.argument("name")
@click.pass_obj
def new(session: Session, name: str) -> None:
    """Make an empty set."""
    from index import curate

    curate.new_set(session.open(), name)


@click.command(epilog="Example: sovgen set add foxes mfrg2zdf nvsxe3dp --at 1")
@click.argument("name")
@many_ids
@click.option(
    "--at",
    type=click.IntRange(min=1),
    metavar="N",
    help="The place of the first of them; those that the set holds move there.",
)
@click.pass_obj
def add(session: Session, name: str, ids: tuple[str, ...], at: int | None) -> None:
    """Put pictures into a set, at its end or at a place."""
    from index import curate

    if not curate.add_to_set(session.open(), name, ids, at) and at is None:
        notice("Nothing was changed: the set holds them already.")


@click.command(epilog="Example: sovgen set remove foxes mfrg2zdf")
@click.argument("name")
@many_ids
@click.pass_obj
def remove(session: Session, name: str, ids: tuple[str, ...]) -> None:
    """Take pictures out of a set.

    They stay in the library.
    """
    from index import curate

    if not curate.remove_from_set(session.open(), name, ids):
        notice("Nothing was changed: the set holds none of them.")


@click.command(epilog="Example: sovgen set delete foxes")
@click.argument("name")
@click.pass_obj
def delete(session: Session, name: str) -> None:
    """Unmake a set; its pictures stay.

    Those of a hidden set are seen again.
    """
    from index import curate

    curate.delete_set(session.open(), name)


@click.command("list", epilog="Example: sovgen set list")
@click.option("--hidden", is_flag=True, help="List the hidden sets too.")
@as_json
@click.pass_obj
def list_sets(session: Session, hidden: bool, form: str | None) -> None:
    """List the sets and how many pictures each holds."""
    from index import curate

    found = curate.list_sets(session.open(), hidden)
    print_lines(found, form, lambda one: f"{printable(one.name)}\t{one.count}")


@click.command(epilog="Example: sovgen set show foxes --paths")
@click.argument("name")
@forms
@click.pass_obj
def show(session: Session, name: str, form: str | None) -> None:
    """List the pictures of a set, in its order."""
    from index import curate

    print_found(curate.show_set(session.open(), name), form)


@click.command(epilog="Example: sovgen set hide private")
@click.argument("name")
@click.pass_obj
def hide(session: Session, name: str) -> None:
    """Keep a set and its pictures out of sight.

    No search, list, count or thumbnail shows them, unless the set is asked for by its name: with
    --set NAME, `sovgen set show NAME`, or `sovgen set list --hidden`. Ids name them only where
    something is said of them or changed: tag, note, caption, rate, delete, set add and remove. The
    picture files stay where they are.
    """
    from index import curate

    curate.hide_set(session.open(), name)


@click.command(epilog="Example: sovgen set unhide private")
@click.argument("name")
@click.pass_obj
def unhide(session: Session, name: str) -> None:
    """End the hiding of a set."""
    from index import curate

    curate.hide_set(session.open(), name, hidden=False)
