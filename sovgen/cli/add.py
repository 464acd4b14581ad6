"""add: pictures that were made elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sovgen.cli.failure import Failure
from sovgen.cli.listing import print_json
from sovgen.cli.options import as_json
from sovgen.cli.progress import shown
from sovgen.cli.session import Session, notice_failures

if TYPE_CHECKING:
    from index import AddReport
    from index.adding import Mode


@click.command(epilog="Example: sovgen add ~/Pictures/drawings --in-place")
@click.argument(
    "paths", nargs=-1, required=True, metavar="PATH...", type=click.Path(path_type=Path)
)
@click.option(
    "--copy", "mode", flag_value="copy", default=True, help="Copy the files in (default)."
)
@click.option("--move", "mode", flag_value="move", help="Move the files in.")
@click.option("--in-place", "mode", flag_value="in-place", help="Leave the files where they are.")
@as_json
@click.pass_obj
def add(session: Session, paths: tuple[Path, ...], mode: Mode, form: str | None) -> None:
    """Take pictures and folders of pictures in.

    Folders are walked. A picture whose pixels are in the library already counts as known; one that
    a hidden set holds stays there and does not count. A file that cannot be read is named with the
    reason, and the rest goes on.
    """
    library = session.open_or_create()
    with shown("Adding", "files") as on_progress:
        report = library.add(paths, mode, on_progress)
    if form == "json":
        print_json(_counted(report))
    else:
        notice_failures(report.failed)
        counts = (len(report.added), report.known, len(report.failed))
        click.echo("{} added, {} known, {} failed".format(*counts))
    if report.failed and not (report.added or report.known):
        raise Failure("No picture could be added.", "The reasons are named with each file.")


def _counted(report: AddReport) -> dict[str, object]:
    failed = [{"path": str(f.path), "reason": f.reason} for f in report.failed]
    ids = [entry.id for entry in report.added]
    return {"added": len(ids), "ids": ids, "known": report.known, "failed": failed}
