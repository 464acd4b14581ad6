"""Entry: one picture of a library, as the catalogue knows it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from index import view
from index.columns import zoned
from index.errors import LibraryDamaged
from index.making import SETTINGS
from index.makings import settings_of

# What an Entry is read from: the documented columns, and what its path, times and settings need.
COLUMNS = [*view.FIELDS, "hidden", "file_sha256"]
PLACE = [*"raw_path inside added_offset made_offset".split(), *SETTINGS]


@dataclass(frozen=True)
class Entry:
    """One picture: its identity, its main file, its newest making, and what people said of it.

    id: 52 characters; seq: its number in this library; path: absolute
    prompt .. seed: of the newest making, None where nobody recorded it
    width, height: pixels; bytes: of the main file; duration: seconds
    kind: illustration, icon, diagram, product, photo or unknown
    settings: those of `index.making.SETTINGS` that its newest making has
    rating: 0..5 or None; note: a private remark; caption: what a person says that it shows
    adherence: cosine of the picture with its own prompt
    added, made: with their zone
    """

    id: str
    seq: int
    path: Path
    prompt: str | None
    negative: str | None
    model: str | None
    model_hash: str | None
    sampler: str | None
    steps: int | None
    guidance: float | None
    seed: int | None
    width: int
    height: int
    media: str
    frames: int
    bytes: int
    kind: str
    rating: int | None
    note: str | None
    caption: str | None
    adherence: float | None
    device: str | None
    dtype: str | None
    duration: float | None
    producer: str | None
    encoder_match: str | None
    safety: str | None
    added: datetime
    made: datetime | None
    tags: tuple[str, ...]
    sets: tuple[str, ...]
    colours: tuple[str, ...]
    hidden: bool
    file_sha256: str
    settings: Mapping[str, object]


def entry_of(row: Mapping[str, object], root: Path) -> Entry:
    """An Entry from a row of COLUMNS and PLACE."""
    values = {name: row[name] for name in COLUMNS}
    values["path"] = absolute(root, str(row["path"]), row["raw_path"], bool(row["inside"]))
    values["kind"] = row["kind"] or "unknown"
    for name in ("tags", "sets", "colours"):
        values[name] = tuple(row[name])  # type: ignore[arg-type]
    for name in ("added", "made"):
        values[name] = zoned(row[name], row[f"{name}_offset"])
    values["settings"] = settings_of(row)
    return Entry(**values)  # type: ignore[arg-type]


def absolute(root: Path, path: str, raw_path: object, inside: bool) -> Path:
    """Where a recorded file is on this machine; raw_path wins, since its bytes are the name.

    Raises LibraryDamaged for one that is said to be inside and leads out.
    """
    name = os.fsdecode(raw_path) if isinstance(raw_path, bytes) else path
    place = Path(name)
    if inside and (place.is_absolute() or ".." in place.parts):
        raise LibraryDamaged(
            f"The record of {name} leads out of the library.",
            "No sovgen wrote that: somebody has changed the catalogue.",
        )
    return root / place if inside else place
