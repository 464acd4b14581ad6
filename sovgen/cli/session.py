"""Session: what the global options settle for every command.

It finds the settings and opens the library; it knows no command.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import click

from index.counting import counted
from sovgen.cli.progress import off_screen

if TYPE_CHECKING:
    from index import Failure, Library
    from sovgen.settings import Settings


@dataclass(frozen=True)
class Session:
    """`library` is the option's value, or None when it was not given."""

    library: Path | None
    verbose: bool

    @cached_property
    def settings(self) -> Settings:
        """Read once; raises BadSettings."""
        from sovgen.settings import read_settings

        return read_settings(self.library)

    def open(self) -> Library:
        """The library; raises NoLibrary and its kin."""
        root = self.settings.library
        from index import Library

        library = Library.open(root)
        if count := library.store.caught_up:
            things = counted(count, "thing")
            notice(f"The catalogue had lost changes of {things}; they were put back.")
        return library

    def open_or_create(self) -> Library:
        """The library, made first, and said so, where there is none."""
        from index import NoLibrary

        try:
            return self.open()
        except NoLibrary:
            library = self.create(self.settings.library, self.settings.encoder)
            notice(f"Made a new library at {library.root}.")
            return library

    def create(self, root: Path, encoder: str | None) -> Library:
        """A new library; raises LibraryExists, EncoderMissing, EncoderDamaged."""
        from index import Library
        from index.encoder import load_encoder

        return Library.create(root, load_encoder(encoder) if encoder else None)

    def say(self, text: str) -> None:
        """A line that only --verbose shows."""
        if self.verbose:
            notice(text)

    def quieten(self) -> None:
        """Unless --verbose was given, keep the libraries underneath off stderr."""
        import logging
        import warnings

        if self.verbose:
            logging.basicConfig(level=logging.INFO)
            return
        warnings.simplefilter("ignore")
        logging.getLogger().addHandler(logging.NullHandler())


def notice(text: str) -> None:
    """One line on stderr that a person should see."""
    with off_screen():
        click.echo(text, err=True)


def notice_failures(failures: Iterable[Failure]) -> None:
    """One line for each file that could not be read, with the reason."""
    for failure in failures:
        notice(f"{click.format_filename(failure.path)}: {failure.reason}")
