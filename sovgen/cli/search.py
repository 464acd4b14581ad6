"""search, list: questions to the library. Words and ids are answered without torch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from sovgen.cli.listing import print_explained, print_found, print_hits
from sovgen.cli.options import Filters, filters, forms, how_many
from sovgen.cli.session import Session, notice

if TYPE_CHECKING:
    from index import Library, Query


def likenesses(ctx: click.Context, param: click.Parameter, words: tuple[str, ...]) -> object:
    """Files where there are such, else ids."""
    return tuple(Path(word) if Path(word).is_file() else word for word in words)


@click.command(epilog='Example: sovgen search "a small animal" --minus snow --tag fox -k 5')
@click.argument("text", metavar="[QUERY]", required=False)
@click.option(
    "--like",
    multiple=True,
    metavar="ID|FILE",
    callback=likenesses,
    help="Look like this; may be repeated.",
)
@click.option("--minus", multiple=True, metavar="TEXT", help="Be unlike this; may be repeated.")
@click.option(
    "--mode",
    type=click.Choice(["pixels", "words", "both"]),
    default="both",
    show_default=True,
    help="Go by the look, by the words written of pictures, or by both.",
)
@filters
@click.option("-k", type=how_many, metavar="N", default=20, show_default=True, help="How many.")
@click.option("--all", "everything", is_flag=True, help="Show also what matches badly.")
@click.option("--exact", is_flag=True, help="Compare every picture, however many there are.")
@click.option(
    "--explain", is_flag=True, help="Show each part of each score; what they add is the score."
)
@click.option("--save", metavar="NAME", help="Keep this search, in place of one of that name.")
@click.option("--saved", metavar="NAME", help="Ask a kept search; other options go before its own.")
@forms
@click.pass_obj
def search(
    session: Session,
    /,
    filters: Filters,
    explain: bool,
    save: str | None,
    saved: str | None,
    form: str | None,
    **asked: object,
) -> None:
    """Find pictures by words, by likeness, or both.

    QUERY describes what is to be seen. It is compared with the pictures themselves, and with the
    words of their prompts, tags, notes and captions: whole, as beginnings, with one typo, or by
    their meaning (fruit finds apples). --like takes the beginning of an id, or a picture file.
    Words and pictures count together, and "fox::2 snow::-0.5" weighs them.

    What neither looks like a true match to this encoder nor has most of the words is shown with
    --all only. Pictures of a hidden set are found with --set only.
    """
    from index.saved import save_search

    if not (asked["text"] or asked["like"] or saved):
        only = "--minus says only what to stay away from. " if asked["minus"] else ""
        raise click.UsageError(f"{only}Give a QUERY, --like ID|FILE, or --saved NAME.")
    library = session.open()
    query = _query(library, saved, {**asked, **filters})
    answer = library.search(query)
    if save:
        save_search(library, save, query)
    session.say(f"The floor of a match is {answer.floor:.3f}; the order is by {answer.mode}.")
    (print_explained if explain else print_hits)(answer.hits, form)
    if not answer.matched:
        # by words alone there is no rest
        is_all = query.everything or query.mode == "words"
        notice("Nothing matches well" + ("." if is_all else "; --all shows the rest."))


@click.command("list", epilog="Example: sovgen list --since 2026-11-24 --where 'rating >= 4'")
@filters
@click.option("-k", type=how_many, metavar="N", help="How many; all when not given.")
@forms
@click.pass_obj
def list_pictures(session: Session, filters: Filters, k: int | None, form: str | None) -> None:
    """List pictures, newest first.

    On a terminal a table; through a pipe one line each: id, score, seed, model, prompt, path,
    parted by tabs.
    """
    from index.query import Query

    print_found(session.open().list(Query(k=k, **filters)), form)


def _query(library: Library, saved: str | None, asked: dict[str, object]) -> Query:
    """What is asked for; of a saved search whatever the command line does not say."""
    from index.query import Query
    from index.saved import saved_search

    if saved is None:
        return Query(**asked)  # type: ignore[arg-type]
    source = click.get_current_context().get_parameter_source
    said = {n: value for n, value in asked.items() if source(n) is ParameterSource.COMMANDLINE}
    return replace(saved_search(library, saved), **said)  # type: ignore[arg-type]
