"""export: pictures leave the library as a data set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sovgen.cli.failure import Failure
from sovgen.cli.session import Session, notice

if TYPE_CHECKING:
    from index import Entry, Library
    from index.export import Format, Metadata

FORMATS = ("folder", "csv", "jsonl", "parquet", "sheet")


@click.command(epilog="Example: sovgen export --set foxes --to ~/datasets/foxes --format jsonl")
@click.option("--search", "text", metavar="QUERY", help="What a search finds.")
@click.option("--set", "set_name", metavar="NAME", help="The pictures of a set, in its order.")
@click.option("--ids", multiple=True, metavar="ID[,ID...]", help="These pictures, in this order.")
@click.option(
    "-k",
    type=click.IntRange(min=1),
    metavar="N",
    default=20,
    show_default=True,
    help="With --search.",
)
@click.option("--all", "everything", is_flag=True, help="With --search, also what matches badly.")
@click.option(
    "--to",
    "folder",
    required=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where the data set goes.",
)
@click.option(
    "--format",
    "shape",
    type=click.Choice(FORMATS),
    default="folder",
    show_default=True,
    help="The manifest's form; sheet is one picture of all of them.",
)
@click.option(
    "--metadata",
    type=click.Choice(("full", "prompt", "none")),
    default="none",
    show_default=True,
    help="How much of its making goes with a picture.",
)
@click.option("--force", is_flag=True, help="Overwrite files that stand in the way.")
@click.pass_obj
def export(
    session: Session,
    text: str | None,
    set_name: str | None,
    ids: tuple[str, ...],
    k: int,
    everything: bool,
    folder: Path,
    shape: Format,
    metadata: Metadata,
    force: bool,
) -> None:
    """Copy pictures out as a clean data set.

    A manifest with checksums goes beside them. With --metadata none no byte that is written tells
    a prompt, a path, a host or a user.
    """
    if [bool(text), bool(set_name), bool(ids)].count(True) != 1:
        raise click.UsageError("Give exactly one of --search, --set and --ids.")
    from index import curate
    from index.export import export as write

    library = session.open()
    if text:
        entries = _found(library, text, k, everything)
    else:
        entries = curate.show_set(library, set_name) if set_name else _named(library, ids)
    write(library, entries, folder, shape, metadata, force)
    notice(f"Exported {len(entries)} to {folder}.")


def _found(library: Library, text: str, k: int, everything: bool) -> list[Entry]:
    from index import Query

    answer = library.search(Query(text=text, k=k, everything=everything))
    if not answer.hits:
        raise Failure(
            f"Nothing matches {text!r} well.", "With --all the best of what there is goes out."
        )
    return [hit.entry for hit in answer.hits]


def _named(library: Library, ids: Sequence[str]) -> list[Entry]:
    return [library.get(prefix) for group in ids for prefix in group.replace(",", " ").split()]
