"""models list|info|verify|export-clip: what pictures can be drawn with."""

from __future__ import annotations

from pathlib import Path

import click

from sovgen.cli.lazy import LazyGroup
from sovgen.cli.listing import fields, print_json, print_pairs, printable
from sovgen.cli.options import as_json
from sovgen.cli.session import Session, notice


class Models(LazyGroup):
    """The commands of `sovgen models`."""

    commands_at = {
        "list": (
            "sovgen.cli.models:list_models",
            "List the models and additions that have a name.",
        ),
        "info": ("sovgen.cli.models:info", "Describe a model without loading it."),
        "verify": ("sovgen.cli.models:verify", "Read a model's files again and check their sums."),
        "export-clip": (
            "sovgen.cli.models:export_clip",
            "Write the encoder as an open_clip folder.",
        ),
    }


@click.group(cls=Models, epilog="Example: sovgen models info sovgen-mini")
def models() -> None:
    """List, describe, verify and export models.

    A model is a name, a diffusers folder or a single safetensors file.
    """


@click.command("list", epilog="Example: sovgen models list")
@as_json
def list_models(form: str | None) -> None:
    """List the models and additions that have a name.

    The bundled one, and those in the folder models/ of the platform's data folder for sovgen. The
    second column is what each is: model, lora, embedding, vae, controlnet or adapter.
    """
    from sovgen.models.additions.shelf import list_shelf

    found = list_shelf()
    if form == "json":
        print_json([fields(one) for one in found])
        return
    for one in found:
        click.echo(f"{printable(one.name)}\t{one.kind}\t{printable(one.path)}")


@click.command(epilog="Example: sovgen models info sovgen-mini --json")
@click.argument("model", metavar="NAME|DIR|FILE")
@as_json
def info(model: str, form: str | None) -> None:
    """Describe a model without loading it."""
    from sovgen.models.description import describe_model

    known = fields(describe_model(model))
    if form == "json":
        print_json(known)
    else:
        print_pairs(known)


@click.command(epilog="Example: sovgen models verify sovgen-mini")
@click.argument("model", metavar="[NAME|DIR|FILE]", required=False)
def verify(model: str | None) -> None:
    """Read a model's files again and check their sums.

    The bundled model when none is named. Exits 1 when a byte has changed.
    """
    from sovgen.models.description import verify_model

    verify_model(model)
    notice("Clean.")


@click.command("export-clip", epilog="Example: sovgen models export-clip ~/models/sovgen-clip")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.pass_obj
def export_clip(session: Session, folder: Path) -> None:
    """Write the encoder as an open_clip folder.

    open_clip loads it as local-dir:DIR; its vectors are the same. The encoder is the config
    file's, else the bundled one.
    """
    from index.encoder.export import export_clip as write

    click.echo(write(session.settings.encoder, folder))
