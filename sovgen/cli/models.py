"""models list|info|add|verify|remove|pull|export-clip: what pictures can be drawn with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sovgen.cli.lazy import LazyGroup
from sovgen.cli.listing import fields, print_json, print_pairs, printable
from sovgen.cli.options import as_json, size
from sovgen.cli.progress import shown
from sovgen.cli.session import Session, notice

if TYPE_CHECKING:
    from sovgen.models.layout import Layout


class Models(LazyGroup):
    """The commands of `sovgen models`."""

    commands_at = {
        "list": (
            "sovgen.cli.models:list_models",
            "List the models and additions that have a name.",
        ),
        "info": ("sovgen.cli.models:info", "Describe a model without loading it."),
        "add": ("sovgen.cli.models:add", "Give a model that lies elsewhere a name."),
        "verify": ("sovgen.cli.models:verify", "Read a model's files again and check their sums."),
        "remove": ("sovgen.cli.models:remove", "Remove a model from the folder of models."),
        "pull": ("sovgen.cli.models:pull", "Fetch a model by name: the one thing done online."),
        "export-clip": (
            "sovgen.cli.models:export_clip",
            "Write the encoder as an open_clip folder.",
        ),
    }


@click.group(cls=Models, epilog="Example: sovgen models info sovgen-mini")
def models() -> None:
    """List, describe, fetch, verify and export models.

    A model is a name, a diffusers folder or a single safetensors file.
    """


@click.command("list", epilog="Example: sovgen models list")
@as_json
def list_models(form: str | None) -> None:
    """List the models and additions that have a name.

    The bundled one, and those in the folder models/ of the platform's data folder for sovgen. The
    second column is what each is: model, lora, embedding, vae, controlnet,
    adapter or upscaler.
    """
    from sovgen.models.additions.shelf import list_shelf

    found = list_shelf()
    if form == "json":
        print_json([fields(one) for one in found])
        return
    for one in found:
        click.echo(f"{printable(one.name)}\t{one.kind}\t{printable(one.path)}")


@click.command(epilog="Example: sovgen models info sovgen-mini --size 512x512")
@click.argument("model", metavar="NAME|DIR|FILE")
@click.option("--size", callback=size, metavar="WxH", help="Tell the memory that it takes.")
@as_json
@click.pass_obj
def info(
    session: Session, model: str, size: tuple[int | None, int | None], form: str | None
) -> None:
    """Describe a model without loading it.

    Or a LoRA, another addition, an upscaler. Of a model also how it computes here, and why. With a
    library: whether the library's CLIP is one of its text towers. With --size: the memory that one
    picture of this size takes here, beside what the libraries take.
    """
    from sovgen.models.additions.describing import describe_addition
    from sovgen.models.description import describe_model, read_layout
    from sovgen.models.store import find_model

    if addition := describe_addition(model):
        _print(addition, form)
        return
    known = fields(describe_model(model))
    layout = read_layout(find_model(model))
    if verdicts := _verdicts(session, layout):
        known["library_clip"] = verdicts
    if size[0] and size[1]:
        known["memory"] = _memory(session, layout, size[0], size[1])
    _print(known | {"computing": _computing(session)}, form)


def _print(known: dict[str, object], form: str | None) -> None:
    """As text without what is not known, and with a line for each choice."""
    if form == "json":
        print_json(known)
        return
    told = {name: value for name, value in known.items() if value not in (None, [])}
    choices = told.pop("computing", {})
    print_pairs(told | (choices if isinstance(choices, dict) else {}))


def _computing(session: Session) -> dict[str, object]:
    """The choices made for this device, each with its reason."""
    from sovgen.generate.backend import backends_on
    from sovgen.models.compute import choices
    from sovgen.models.device import choose_place

    place = choose_place(session.settings.device, session.settings.dtype)
    told = [f"{name}: {state}" for name, state in backends_on(place.device).items()]
    return {**choices(place), "backends": told}


def _verdicts(session: Session, layout: Layout) -> dict[str, str]:
    """By text tower; empty where there is no library."""
    from index import NoLibrary
    from sovgen.models.matching import tower_verdicts

    try:
        return tower_verdicts(layout, session.open().encoder)
    except NoLibrary:
        return {}


def _memory(session: Session, layout: Layout, width: int, height: int) -> dict[str, object]:
    from sovgen.models.device import choose_place
    from sovgen.models.footprint import footprint

    place = choose_place(session.settings.device, session.settings.dtype)
    need = footprint(layout, width, height, place.device, place.dtype)
    return {
        "size": f"{width}x{height}",
        "device": place.device,
        "dtype": place.dtype,
        **{
            n: f"{getattr(need, n) / 1e9:.2f} GB"
            for n in ("peak", "weights", "drawing", "decoding")
        },
    }


@click.command(epilog="Example: sovgen models verify sovgen-mini")
@click.argument("model", metavar="[NAME|DIR|FILE]", required=False)
def verify(model: str | None) -> None:
    """Read a model's files again and check their sums.

    The bundled model when none is named. Exits 1 when a byte has changed. Sums are known of what
    was pulled or added, and of folders that hold a SHA256SUMS; where there are none to compare
    with, it says so and exits 0.
    """
    from sovgen.models.description import verify_model

    with _megabytes("Reading") as on_progress:
        unknown = verify_model(model, on_progress=on_progress)
    if unknown:
        names = printable(unknown)
        notice(f"There are no sums to compare with for {names}: nothing tells what they were.")
    else:
        notice("Clean.")


@click.command(epilog="Example: sovgen models add ~/diffusion/my-model --name mine")
@click.argument("path", metavar="DIR|FILE", type=click.Path(path_type=Path))
@click.option("--name", metavar="NAME", help="What to call it; else the name of its file.")
def add(path: Path, name: str | None) -> None:
    """Give a model that lies elsewhere a name.

    Or a LoRA, another addition, an upscaler. It stays where it is; a link stands in the folder of
    models. A model's weights are read once, and their sums kept beside the link for `verify`.
    """
    from sovgen.models.keeping import add_model

    with _megabytes("Reading") as on_progress:
        place = add_model(path, name, on_progress)
    click.echo(place)


@click.command(epilog="Example: sovgen models remove mine --yes")
@click.argument("name", metavar="NAME")
@click.option("--yes", is_flag=True, help="Do not ask.")
def remove(name: str, yes: bool) -> None:
    """Remove a model from the folder of models.

    Or an addition. Of a model that was added only the name is removed, its files stay.
    """
    from sovgen.models.additions.shelf import find_shelved
    from sovgen.models.keeping import remove_model

    found = find_shelved(name)
    if not yes and not found.path.is_symlink():
        click.confirm(f"Remove {printable(found.path)} for good?", abort=True, err=True)
    notice(f"Removed {printable(remove_model(name))}.")


@click.command(epilog="Example: sovgen models pull stabilityai/sdxl-turbo --name turbo")
@click.argument("repo", metavar="OWNER/NAME")
@click.option("--revision", metavar="REV", help="A branch, tag or commit; else the newest.")
@click.option("--file", metavar="FILE", help="Of several .safetensors files this one alone.")
@click.option("--variant", metavar="V", help="The variant of a folder's weights, such as fp16.")
@click.option("--name", metavar="NAME", help="What to call it here; else as it is called there.")
def pull(
    repo: str, revision: str | None, file: str | None, variant: str | None, name: str | None
) -> None:
    """Fetch a model by name: the one thing done online.

    From HF_ENDPOINT, else the Hugging Face hub; HF_TOKEN is sent where it is set. Safetensors and
    texts only, each checked by its checksum. Cut off, it goes on when it is run again.
    """
    from sovgen.models.hub import endpoint
    from sovgen.models.keeping import pull_model
    from sovgen.models.wanted import Choice

    notice(f"Online for this command alone: fetching {repo} from {endpoint()}.")
    with _megabytes("Fetching") as on_progress:
        found = pull_model(repo, name, revision, Choice(file, variant), on_progress)
    click.echo(found.path)


@contextmanager
def _megabytes(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar that is told bytes."""
    with shown(what, "MB") as bar:
        yield lambda done, total: bar(done // 10**6, total // 10**6)


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
