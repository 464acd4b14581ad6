"""What an export says of a picture beside its pixels.

With `none`: the file, its checksum and its size. With `prompt`: the prompt and the caption,
too. With `full`: every column of the library that is not about this machine. No path, host, user
or, short of `full`, time is ever among them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import datetime
from pathlib import PurePath, PureWindowsPath
from typing import Literal

from index.entry import Entry
from index.making import SETTINGS

Metadata = Literal["full", "prompt", "none"]
Row = Mapping[str, object]

# Name and DuckDB type, in the order in which tables have them.
FILE_COLUMNS = {
    "file_name": "VARCHAR",
    "sha256": "VARCHAR",
    "bytes": "BIGINT",
    "width": "INTEGER",
    "height": "INTEGER",
    "media": "VARCHAR",
}
PROMPT_COLUMNS = {"prompt": "VARCHAR", "caption": "VARCHAR"}
FULL_COLUMNS = {
    "id": "VARCHAR",
    "prompt": "VARCHAR",
    "negative": "VARCHAR",
    "model": "VARCHAR",
    "model_hash": "VARCHAR",
    "sampler": "VARCHAR",
    "steps": "INTEGER",
    "guidance": "DOUBLE",
    "seed": "UBIGINT",
    **SETTINGS,
    "device": "VARCHAR",
    "dtype": "VARCHAR",
    "duration": "DOUBLE",
    "producer": "VARCHAR",
    "encoder_match": "VARCHAR",
    "safety": "VARCHAR",
    "frames": "INTEGER",
    "kind": "VARCHAR",
    "adherence": "DOUBLE",
    "rating": "TINYINT",
    "note": "VARCHAR",
    "caption": "VARCHAR",
    "added": "VARCHAR",
    "made": "VARCHAR",
    "tags": "VARCHAR[]",
    "sets": "VARCHAR[]",
    "colours": "VARCHAR[]",
}


@dataclasses.dataclass(frozen=True)
class Outgoing:
    """A picture on its way out: its entry, and the file that is written for it."""

    entry: Entry
    file_name: str
    sha256: str
    bytes: int
    width: int
    height: int
    media: str


def columns(metadata: Metadata) -> dict[str, str]:
    """The columns that go along, by name, with their DuckDB types."""
    told = {"none": {}, "prompt": PROMPT_COLUMNS, "full": FULL_COLUMNS}[metadata]
    return FILE_COLUMNS | told


def row_of(picture: Outgoing, metadata: Metadata) -> Row:
    """One value for each of the columns, as plain JSON values."""
    names = columns(metadata)
    return {name: _value(picture, name) for name in names}


def _value(picture: Outgoing, name: str) -> object:
    if name in FILE_COLUMNS:
        return getattr(picture, name)
    entry = picture.entry
    value = entry.settings.get(name) if name in SETTINGS else getattr(entry, name)
    if name == "model" and isinstance(value, str):
        return _without_folder(value)
    if isinstance(value, datetime):
        return value.isoformat()
    return list(value) if isinstance(value, tuple) else value


def _without_folder(model: str) -> str:
    """A model may be recorded by the path that it was loaded from; its name is the last part."""
    for kind in (PurePath, PureWindowsPath):
        if kind(model).is_absolute():
            return kind(model).name
    return model
