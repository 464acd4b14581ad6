"""remake: the proof that a recipe is the picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sovgen.cli.failure import Failure
from sovgen.cli.options import with_additions
from sovgen.cli.session import Session, notice

if TYPE_CHECKING:
    from PIL.Image import Image

    from sovgen.studio import Studio

# What another batch shape, thread count or machine may change: 1/255 in 0.1 % of the values.
SLIGHT, SHARE = 1, 0.001


@click.command(epilog="Example: sovgen remake mfrg2zdf")
@click.argument("prefix", metavar="ID")
@click.option("--model", metavar="NAME|DIR|FILE", help="Where its model is, if it has no name.")
@with_additions
@click.pass_obj
def remake(session: Session, prefix: str, model: str | None, additions: Path | None) -> None:
    """Draw a picture again and compare.

    The picture is drawn from its own recipe, by weights whose checksums are read again. Nothing
    is kept. Exits 0 when it comes out the same, 1 otherwise.
    """
    from index.export.source import read_source
    from index.record import pixel_id
    from sovgen.generate.backend import slow_start
    from sovgen.studio import Studio

    library = session.open()
    entry = library.get(prefix)
    source = model or entry.model
    if entry.model_hash:
        _tell_changes(source, entry.model_hash, library.makings(entry.id)[0].extra)
    folders = [additions] if additions else []
    studio = Studio(library, source, device=entry.device, dtype=entry.dtype, folders=folders)
    for name in _changed(studio, entry.id):
        notice(f"The file of {name} is not the one that drew it.")
    for expected in slow_start(studio.recipe_of(entry.id)):
        notice(expected)
    again = studio.remake(entry.id)
    if pixel_id(again.image) == entry.id:
        click.echo("The same picture, to the last pixel.")
    else:
        click.echo(_compared(read_source(library.store, entry).image, again.image))


def _tell_changes(source: str | None, weights: str, extra: Mapping[str, object]) -> None:
    """Say what of a model is no longer what drew; makings of old tell its weights alone."""
    from sovgen.models.description import reread_model

    found, configuration = reread_model(source)
    if found != weights:
        notice(f"The weights of {source} are not those that drew it.")
    if extra.get("model_configuration", configuration) != configuration:
        notice(f"The configuration of {source} is not the one that drew it.")


def _changed(studio: Studio, id: str) -> list[str]:
    from sovgen.errors import ModelMissing

    try:
        return studio.changed_additions(id)
    except ModelMissing as error:
        raise Failure(
            error.message, f"It drew the picture: say where it lies by --additions. {error.hint}"
        ) from error


def _compared(before: Image, after: Image) -> str:
    """How far apart two pictures are; raises Failure when they are not the same picture."""
    import numpy as np

    if before.size != after.size:
        raise Failure("Another picture: its size differs.", "Its model or recipe has changed.")
    values = (np.asarray(image.convert("RGBA"), np.int16) for image in (before, after))
    apart = np.abs(np.subtract(*values))
    told = f"{np.mean(apart > SLIGHT):.2%} of values differ by more than 1/255"
    if np.mean(apart > SLIGHT) > SHARE:
        raise Failure(f"Another picture: {told}.", "Its model, device or dtype has changed.")
    return f"The same picture, as far as rounding allows: {told}."
