"""info: what this installation runs on, in a dozen lines."""

from __future__ import annotations

import platform
from importlib.metadata import version

import click

from index.bundled import BUNDLED
from sovgen.cli.listing import print_json, print_pairs
from sovgen.cli.options import as_json
from sovgen.cli.session import Session

LIBRARIES = ("torch", "diffusers", "transformers", "open-clip-torch", "duckdb", "faiss-cpu")


@click.command(epilog="Example: sovgen info")
@as_json
@click.pass_obj
def info(session: Session, form: str | None) -> None:
    """Tell what this installation runs on."""
    from sovgen.models.device import choose_place
    from sovgen.offline import is_guarded

    settings = session.settings
    place = choose_place(settings.device, settings.dtype)
    known = {
        "sovgen": f"{version('sovgen')}, Python {platform.python_version()}",
        "device": place.device,
        "dtype": f"{place.dtype}: {place.reason}",
        "model": settings.model or BUNDLED,
        "encoder": _encoder(session),
        "library": settings.library,
        "offline": "guarded" if is_guarded() else "not guarded",
        **{name: version(name) for name in LIBRARIES},
    }
    if form == "json":
        print_json(known)
    else:
        print_pairs(known)


def _encoder(session: Session) -> str:
    """The library's encoder, or the one that a new library would get."""
    from index import NoLibrary

    try:
        return session.open().info().encoder
    except NoLibrary:
        return session.settings.encoder or BUNDLED
