"""Which pictures leave the library: those of a search, of a set, or named ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from sovgen.cli.failure import Failure

if TYPE_CHECKING:
    from index import Entry, Library

OPTIONS = (
    click.option("--search", "text", metavar="QUERY", help="What a search finds."),
    click.option("--set", "set_name", metavar="NAME", help="The pictures of a set, in its order."),
    click.option(
        "--ids", multiple=True, metavar="ID[,ID...]", help="These pictures, in this order."
    ),
    click.option(
        "-k",
        type=click.IntRange(min=1),
        metavar="N",
        default=20,
        show_default=True,
        help="With --search.",
    ),
    click.option(
        "--all", "everything", is_flag=True, help="With --search, also what matches badly."
    ),
)


@dataclass(frozen=True)
class Choice:
    """What was chosen, and how; exactly one of `text`, `set_name` and `ids` is given."""

    text: str | None
    set_name: str | None
    ids: tuple[str, ...]
    k: int
    everything: bool

    def entries(self, library: Library) -> Sequence[Entry]:
        """The pictures; raises Failure when a search finds none, and the library's errors."""
        from index import curate

        if self.text:
            return self._found(library, self.text)
        if self.set_name:
            return curate.show_set(library, self.set_name)
        words = " ".join(self.ids).replace(",", " ").split()
        return [library.get(prefix) for prefix in words]

    def _found(self, library: Library, text: str) -> list[Entry]:
        from index import Query

        answer = library.search(Query(text=text, k=self.k, everything=self.everything))
        if not answer.hits:
            raise Failure(
                f"Nothing matches {text!r} well.", "With --all the best of what there is goes out."
            )
        return [hit.entry for hit in answer.hits]


def chosen(command: Callable[..., None]) -> Callable[..., None]:
    """The command gets `choice`."""

    @wraps(command)
    def collecting(*args: object, **given: Any) -> None:  # noqa: ANN401 - click's values
        choice = Choice(**{name: given.pop(name) for name in Choice.__dataclass_fields__})
        if [bool(choice.text), bool(choice.set_name), bool(choice.ids)].count(True) != 1:
            raise click.UsageError("Give exactly one of --search, --set and --ids.")
        command(*args, choice=choice, **given)

    for option in reversed(OPTIONS):
        collecting = option(collecting)
    return collecting
