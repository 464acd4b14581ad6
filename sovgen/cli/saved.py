"""saved list|rename|delete: searches that were kept with `sovgen search --save NAME`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import click

from sovgen.cli.lazy import LazyGroup
from sovgen.cli.listing import print_lines, printable
from sovgen.cli.options import as_json
from sovgen.cli.session import Session

if TYPE_CHECKING:
    from index import Query


class Saved(LazyGroup):
    """The commands of `sovgen saved`."""

    commands_at = {
        "list": ("sovgen.cli.saved:list_saved", "List the saved searches and what each asks."),
        "rename": ("sovgen.cli.saved:rename", "Call a saved search something else."),
        "delete": ("sovgen.cli.saved:delete", "Forget a saved search."),
    }


@click.group("saved", cls=Saved, epilog="Example: sovgen saved list")
def saved() -> None:
    """List, rename and delete saved searches.

    `sovgen search QUERY --save NAME` keeps one, `sovgen search --saved NAME` asks it again.
    """


@click.command("list", epilog="Example: sovgen saved list")
@click.option("--hidden", is_flag=True, help="List those of hidden sets too.")
@as_json
@click.pass_obj
def list_saved(session: Session, hidden: bool, form: str | None) -> None:
    """List the saved searches and what each asks."""
    from index.saved import list_searches

    found = list_searches(session.open(), hidden)
    print_lines(found, form, lambda one: f"{printable(one.name)}\t{_told(one.query)}")


@click.command(epilog="Example: sovgen saved rename foxes vixens")
@click.argument("name")
@click.argument("new_name", metavar="NEW")
@click.pass_obj
def rename(session: Session, name: str, new_name: str) -> None:
    """Call a saved search something else."""
    from index.saved import rename_search

    rename_search(session.open(), name, new_name)


@click.command(epilog="Example: sovgen saved delete foxes")
@click.argument("name")
@click.pass_obj
def delete(session: Session, name: str) -> None:
    """Forget a saved search."""
    from index.saved import delete_search

    delete_search(session.open(), name)


def _told(query: Query) -> str:
    """What a search asks, as `name: value` where it asks anything of its own."""
    told = {f.name: getattr(query, f.name) for f in dataclasses.fields(query)}
    plain = {f.name: f.default for f in dataclasses.fields(query)}
    return "; ".join(f"{n}: {printable(v)}" for n, v in told.items() if v != plain[n])
