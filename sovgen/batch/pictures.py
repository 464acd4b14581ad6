"""Pictures that a plan names by files: jobs name them by their ids, as every recipe does.

Knows the fields that name pictures; keeping the files in a library is left to whoever has one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from sovgen.sources import SINGLE, keep_source, read_source

if TYPE_CHECKING:
    from index import Library


class Files:
    """The files that a plan names, each read once.

    folder: that of the plan, from which they are meant
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ids: dict[str, str] = {}
        self._masks: set[str] = set()

    def as_ids(self, fields: Mapping[str, object]) -> dict[str, object]:
        """The fields with ids in place of files. Raises UnreadableImage."""
        named = {
            field: self._id(word, is_mask=field == "mask")
            for field in SINGLE
            if isinstance(word := fields.get(field), str)
        }
        references = fields.get("reference")
        if isinstance(references, tuple):
            return {**fields, **named, "reference": tuple(self._weighted(references))}
        return {**fields, **named}

    def keep(self, library: Library) -> int:
        """Copy the files into the library; returns how many are new there."""
        new = 0
        for word, id in self._ids.items():
            if id != word:
                path = self._folder / Path(word).expanduser()
                new += keep_source(library, path, is_mask=word in self._masks)[1]
        return new

    def _weighted(self, references: tuple[object, ...]) -> Iterator[object]:
        for reference in references:
            if isinstance(reference, str):
                word, colon, weight = reference.partition(":")
                yield f"{self._id(word, is_mask=False)}{colon}{weight}"
            else:
                yield reference

    def _id(self, word: str, *, is_mask: bool) -> str:
        if word not in self._ids:
            path = self._folder / Path(word).expanduser()
            self._ids[word] = read_source(path)[0] if path.is_file() else word
        if is_mask:
            self._masks.add(word)
        return self._ids[word]
