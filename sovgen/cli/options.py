"""Options that several commands share, so that they are spelled and explained once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from datetime import date
from functools import wraps
from pathlib import Path
from typing import Any, TypedDict, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])
# How many of something; more than DuckDB counts to is a slip of the hand.
how_many = click.IntRange(1, 2**31 - 1)


def day(ctx: click.Context, param: click.Parameter, value: str | None) -> date | None:
    """A local date, written YYYY-MM-DD; anything else is a usage mistake."""
    try:
        return None if value is None else date.fromisoformat(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a date; write it as 2026-11-24.") from None


def size(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> tuple[int | None, int | None]:
    """WIDTHxHEIGHT in pixels; their ranges are the business of the Recipe and the model."""
    try:
        width, height = map(int, value.lower().split("x")) if value else (None, None)
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a size; write it as 512x512.") from None
    return width, height


class Filters(TypedDict):
    """What the filter options say, under the names that a Query gives them."""

    where: str | None
    tags: tuple[str, ...]
    model: str | None
    set: str | None
    since: date | None
    until: date | None


def gathered(
    options: Sequence[Callable[[Command], Command]], kind: type[object], name: str
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command `options`, and what they say as one `kind`, a dataclass, called `name`."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def collecting(*args: object, **given: object) -> None:
            said = {f.name: given.pop(f.name) for f in fields(kind)}  # type: ignore[arg-type]
            command(*args, **{name: kind(**said)}, **given)

        for option in reversed(options):
            collecting = option(collecting)
        return collecting

    return decorate


FILTERS = (
    click.option("--where", metavar="SQL", help="A condition over the library's columns."),
    click.option("--tag", "tags", multiple=True, metavar="TAG", help="Only with this tag."),
    click.option("--model", metavar="NAME", help="Only drawn by this model."),
    click.option("--set", metavar="NAME", help="Only in this set, which may be a hidden one."),
    click.option("--since", callback=day, metavar="DATE", help="Only added on this day or later."),
    click.option("--until", callback=day, metavar="DATE", help="Only added on this day or before."),
)


def filters(command: Callable[..., None]) -> Callable[..., None]:
    """Which pictures a search or a listing may show; the command gets them as `filters`."""

    @wraps(command)
    def collecting(*args: object, **given: object) -> None:
        narrowed = {name: given.pop(name) for name in Filters.__annotations__}
        command(*args, filters=narrowed, **given)

    for option in reversed(FILTERS):
        collecting = option(collecting)
    return collecting


def forms(command: Command) -> Command:
    """How a listing is written: a table, JSON, or bare paths."""
    paths = click.option("--paths", "form", flag_value="paths", help="Print one path a line.")
    return as_json(paths(command))


def as_json(command: Command) -> Command:
    """`form` is "json" when --json was given, else None."""
    return click.option("--json", "form", flag_value="json", help="Print one JSON document.")(
        command
    )


def by_backend(command: Command) -> Command:
    """What asks the denoiser, under the name that a Recipe gives it."""
    return click.option(
        "--backend",
        metavar="B",
        help="torch, compile or openvino: what asks the denoiser; else chosen.",
    )(command)


# More than anybody needs, and what the queue's file can hold.
_PRIORITY = 1_000_000


def with_additions(command: Command) -> Command:
    """Where the LoRAs and the like of a picture's recipe are; the command gets `additions`."""
    return click.option(
        "--additions",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        metavar="DIR",
        help="Where its LoRAs and the like are, if they have no names.",
    )(command)


def by_priority(default: int | None) -> Callable[[Command], Command]:
    """Which jobs come first; `default` where nothing is said."""
    return click.option(
        "--priority",
        type=click.IntRange(-_PRIORITY, _PRIORITY),
        default=default,
        metavar="P",
        help="Higher ones are drawn first.",
    )


def many_ids(command: Command) -> Command:
    """Ids, or their beginnings of at least four characters."""
    return click.argument("ids", nargs=-1, required=True, metavar="ID...")(command)
