"""Addition: all that one transaction writes for one picture, worked out beforehand."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from index.making import Making

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from index.colours import Colour


@dataclass(frozen=True)
class File:
    """One file as the catalogue records it.

    path: POSIX and NFC; relative to the library when inside, else absolute
    raw_path: the name's own bytes, where path cannot lead back to the file
    """

    path: str
    raw_path: bytes | None
    inside: bool
    file_sha256: str
    bytes: int
    mtime_ns: int


@dataclass(frozen=True)
class Look:
    """What an encoder says of a picture.

    vector: unit, float32, (width,); adherence: cosine with its own prompt; tags: name and score
    """

    vector: NDArray[np.float32]
    adherence: float | None
    kind: str
    kind_score: float | None
    tags: Sequence[tuple[str, float]]


@dataclass(frozen=True)
class Addition:
    """One picture and one file of it.

    file: None when its bytes are in the library already; look: None when the picture is known
    prompt: unit vector (width,) of a known picture's new prompt, if it has one
    """

    id: str
    width: int
    height: int
    media: str
    frames: int
    added: datetime
    file: File | None
    making: Making | None
    look: Look | None
    colours: Sequence[Colour]
    prompt: NDArray[np.float32] | None = None


def recorded(path: Path, root: Path) -> tuple[str, bytes | None, bool]:
    """How a path is recorded: its name, its bytes where the name does not lead back, inside."""
    place = Path(os.path.abspath(path))
    inside = place.is_relative_to(root)
    raw = os.fsencode(place.relative_to(root) if inside else place)
    name = unicodedata.normalize("NFC", raw.decode("utf-8", "replace").replace(os.sep, "/"))
    return name, raw if os.fsencode(name) != raw else None, inside
