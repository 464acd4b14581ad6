"""search, list: questions to the library. Words and ids are answered without torch."""

from __future__ import annotations

from pathlib import Path

import click

from sovgen.cli.listing import print_entries, print_hits
from sovgen.cli.options import Filters, filters, forms
from sovgen.cli.session import Session, notice


@click.command(epilog='Example: sovgen search "a small animal" --minus snow --tag fox -k 5')
@click.argument("text", metavar="[QUERY]", required=False)
@click.option(
    "--like", "likes", multiple=True, metavar="ID|FILE", help="Look like this; may be repeated."
)
@click.option("--minus", multiple=True, metavar="TEXT", help="Be unlike this; may be repeated.")
@filters
@click.option(
    "-k", type=click.IntRange(min=1), metavar="N", default=20, show_default=True, help="How many."
)
@click.option("--all", "everything", is_flag=True, help="Show also what matches badly.")
@forms
@click.pass_obj
def search(
    session: Session,
    text: str | None,
    likes: tuple[str, ...],
    minus: tuple[str, ...],
    filters: Filters,
    k: int,
    everything: bool,
    form: str | None,
) -> None:
    """Find pictures by words, by likeness, or both.

    QUERY describes what is to be seen; it is compared with the pictures themselves, so it need
    not use their prompts' words. --like takes the beginning of an id, or a picture file. Words and
    pictures count together, and "fox::2 snow::0.5" weighs them.

    Pictures below the score that true matches reach with this encoder are shown with --all only.
    """
    from index.query import Query

    if not (text or likes):
        raise click.UsageError("Give a QUERY, or --like ID|FILE.")
    like = tuple(map(_id_or_file, likes))
    query = Query(text=text, like=like, minus=minus, k=k, everything=everything, **filters)
    answer = session.open().search(query)
    session.say(f"The floor of a match is {answer.floor:.3f}.")
    print_hits(answer.hits, form)
    if not answer.matched:
        notice(
            "Nothing matches well." if everything else "Nothing matches well; --all shows the rest."
        )


@click.command("list", epilog="Example: sovgen list --since 2026-11-24 --where 'rating >= 4'")
@filters
@click.option("-k", type=click.IntRange(min=1), metavar="N", help="How many; all when not given.")
@forms
@click.pass_obj
def list_pictures(session: Session, filters: Filters, k: int | None, form: str | None) -> None:
    """List pictures, newest first.

    On a terminal a table; through a pipe one line each: id, score, seed, model, prompt, path,
    parted by tabs.
    """
    from index.query import Query

    print_entries(session.open().list(Query(k=k, **filters)), form)


def _id_or_file(word: str) -> str | Path:
    path = Path(word)
    return path if path.is_file() else word
