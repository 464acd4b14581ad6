"""sql: a question to the catalogue in its own language."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from sovgen.cli.listing import plain, printable
from sovgen.cli.options import as_json
from sovgen.cli.session import Session

if TYPE_CHECKING:
    from sovgen.sql import Answer


@click.command(epilog="Example: sovgen sql 'SELECT model, count(*) FROM library GROUP BY model'")
@click.argument("statement", metavar="SELECT")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=60,
    show_default=True,
    metavar="SECONDS",
    help="Stop it when it takes longer.",
)
@as_json
@click.pass_obj
def sql(session: Session, statement: str, timeout: float, form: str | None) -> None:
    """Ask the catalogue in SQL.

    SELECT is one statement in DuckDB's dialect over the views library, files, makings, tags,
    colours, sets and set_members; "DESCRIBE library" lists a view's columns, and docs/sql.md
    explains them. Pictures in the trash and in hidden sets are in none of them.

    It is answered by a process of its own from a copy of those views, so it can change nothing,
    read no file, and holds nobody up. On a terminal a table; through a pipe one row a line, its
    values parted by tabs.
    """
    from sovgen.sql import asked

    with asked(session.open().root, statement, timeout) as answer:
        if form == "json":
            _print_json(answer)
        elif sys.stdout.isatty():
            _print_table(answer)
        else:
            for row in answer.rows:
                click.echo("\t".join(map(printable, row)))


def _print_json(answer: Answer) -> None:
    """One array of objects, written as the rows come."""
    names = list(_distinct(answer.columns))
    opening = "["
    for row in answer.rows:
        found = {name: plain(value) for name, value in zip(names, row, strict=True)}
        click.echo(f"{opening}\n  {json.dumps(found)}", nl=False)
        opening = ","
    click.echo("[]" if opening == "[" else "\n]")


def _distinct(names: list[str]) -> Iterator[str]:
    """The names, with a number where one came before: an object cannot hold a name twice."""
    seen: set[str] = set()
    for name in names:
        number, unique = 1, name
        while unique in seen:
            number += 1
            unique = f"{name}_{number}"
        seen.add(unique)
        yield unique


def _print_table(answer: Answer) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for name in answer.columns:
        table.add_column(Text(printable(name)))
    for row in answer.rows:
        table.add_row(*(Text(printable(value)) for value in row))
    Console().print(table)
