"""A model card's front matter: the licence, and what the maker advises for drawing.

Reads the few flat keys it needs from README.md, and of a single file what its header says in the
place of one; knows nothing of tensors.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from sovgen.models.kept import kept_card
from sovgen.models.weights import read_header

_FRONT = re.compile(r"\A---\s*\n(.*?)\n---\s*\n", re.DOTALL)
# https://github.com/Stability-AI/ModelSpec
_LICENSE = "modelspec.license"


@dataclass(frozen=True)
class Card:
    """What a card says; None where it says nothing.

    steps, guidance: the `num_inference_steps` and `guidance_scale` of the hub's
    `inference: parameters:`
    """

    license: str | None = None
    steps: int | None = None
    guidance: float | None = None


def read_card(path: Path) -> Card:
    """The card of a model folder, or of a file that was fetched; an empty one when there is none.

    A card that only lies beside a file is not taken for its own.
    """
    place = kept_card(path) if path.is_file() else path / "README.md"
    try:
        text = place.read_text(encoding="utf-8", errors="replace") if place else ""
    except OSError:
        return Card()
    match = _FRONT.match(text.replace("\r\n", "\n"))
    front = match[1] if match else ""
    steps, guidance = _value(front, "num_inference_steps"), _value(front, "guidance_scale")
    return Card(
        license=_value(front, "license_name") or _value(front, "license"),
        steps=int(steps) if steps and steps.isdecimal() else None,
        guidance=float(guidance) if guidance and re.fullmatch(r"\d+(\.\d+)?", guidance) else None,
    )


def read_license(path: Path) -> str | None:
    """The licence of a folder or a file: as its card says, else as ModelSpec in its header does.

    Raises ModelDamaged for a file that cannot be read.
    """
    if said := read_card(path).license:
        return said
    return read_header(path).metadata.get(_LICENSE) or None if path.is_file() else None


def _value(front: str, key: str) -> str | None:
    match = re.search(rf"^\s*{key}:[ \t]*(\S.*?)\s*$", front, re.MULTILINE)
    return match[1].strip("'\"") if match else None
