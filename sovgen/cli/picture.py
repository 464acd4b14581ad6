"""show, tag, note, caption, rate, delete: one picture, or a few, by the beginnings of their ids."""

from __future__ import annotations

import click

from sovgen.cli.listing import fields, print_json, print_pairs
from sovgen.cli.options import as_json, many_ids
from sovgen.cli.session import Session, notice


@click.command(epilog="Example: sovgen show mfrg2zdf")
@click.argument("prefix", metavar="ID")
@as_json
@click.pass_obj
def show(session: Session, prefix: str, form: str | None) -> None:
    """Tell all that is known of one picture.

    ID is the beginning of its id, at least four characters, as in git.
    """
    known = fields(session.open().get(prefix))
    if form == "json":
        print_json(known)
    else:
        print_pairs(known)


@click.command(epilog="Example: sovgen tag mfrg2zdf favourite winter")
@click.argument("prefix", metavar="ID")
@click.argument("tags", metavar="TAG...", nargs=-1, required=True)
@click.option("--remove", is_flag=True, help="Take the tags away again.")
@click.pass_obj
def tag(session: Session, prefix: str, tags: tuple[str, ...], remove: bool) -> None:
    """Tag a picture by hand.

    Tags by hand stand apart from those that the encoder gives, and survive it.
    """
    from index import curate

    change, already = (curate.untag, "") if remove else (curate.tag, " already")
    if not change(session.open(), [prefix], tags):
        notice(f"Nothing was changed: it has {'none of ' if remove else ''}these tags{already}.")


@click.command(epilog='Example: sovgen note mfrg2zdf "for the birthday card"')
@click.argument("prefix", metavar="ID")
@click.argument("text")
@click.pass_obj
def note(session: Session, prefix: str, text: str) -> None:
    """Write a note on a picture.

    It takes the place of one that stands; an empty TEXT takes it away. Searches find its words.
    """
    from index import curate

    curate.note(session.open(), [prefix], text)


@click.command(epilog='Example: sovgen caption mfrg2zdf "a red fox asleep in the snow"')
@click.argument("prefix", metavar="ID")
@click.argument("text")
@click.pass_obj
def caption(session: Session, prefix: str, text: str) -> None:
    """Say what a picture shows.

    It takes the place of what stands; an empty TEXT takes it away. Searches find its words, exports
    carry it, and trainings read it before the prompt.
    """
    from index import curate

    curate.caption(session.open(), [prefix], text)


@click.command(epilog="Example: sovgen rate mfrg2zdf nvsxe3dp 5")
@many_ids
@click.argument("rating", type=click.IntRange(0, 5))
@click.pass_obj
def rate(session: Session, ids: tuple[str, ...], rating: int) -> None:
    """Rate pictures from 0 to 5."""
    from index import curate

    curate.rate(session.open(), ids, rating)


@click.command(epilog="Example: sovgen delete mfrg2zdf")
@many_ids
@click.pass_obj
def delete(session: Session, ids: tuple[str, ...]) -> None:
    """Move pictures to the trash.

    Their files stay in the library's folder trash/, out of every listing and search.
    """
    notice(f"Moved {session.open().delete(ids)} to the trash.")
