"""The options that draw more pictures than are kept."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from sovgen.choosing import Choice

_AT_MOST = 16

OPTIONS = (
    click.option(
        "--best-of",
        type=click.IntRange(min=2),
        metavar="N",
        help="Draw N times as many, keep those most true to the prompt.",
    ),
    click.option(
        "--until-adherence",
        type=click.FloatRange(-1, 1),
        metavar="X",
        help="Draw until --count pictures are so true to the prompt; keep these.",
    ),
    click.option(
        "--at-most",
        type=click.IntRange(min=1),
        metavar="N",
        help="Pictures to draw of each prompt for --until-adherence; else 16 for each kept.",
    ),
)


def chosen_by(command: Callable[..., None]) -> Callable[..., None]:
    """The command gets `choice`, which is None where every picture is kept."""

    @wraps(command)
    def collecting(*args: object, count: int, **given: Any) -> None:  # noqa: ANN401
        choice = _choice(count, *(given.pop(n) for n in ("best_of", "until_adherence", "at_most")))
        command(*args, count=count, choice=choice, **given)

    for option in reversed(OPTIONS):
        collecting = option(collecting)
    return collecting


def _choice(
    count: int, best_of: int | None, until: float | None, at_most: int | None
) -> Choice | None:
    from sovgen.choosing import Choice

    if best_of and until is not None:
        raise click.UsageError("Give --best-of or --until-adherence, not both.")
    if at_most and until is None:
        raise click.UsageError("--at-most belongs to --until-adherence.")
    if best_of:
        return Choice(count, count * best_of)
    if until is None:
        return None
    return Choice(count, max(count, at_most or _AT_MOST * count), until)
