"""A model card's front matter: the licence, and what the maker advises for drawing.

Reads the few flat keys it needs from README.md; knows nothing of weights.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_FRONT = re.compile(r"\A---\s*\n(.*?)\n---\s*\n", re.DOTALL)


@dataclass(frozen=True)
class Card:
    """What a card says; None where it says nothing.

    steps, guidance: the `num_inference_steps` and `guidance_scale` of the hub's
    `inference: parameters:`
    """

    license: str | None = None
    steps: int | None = None
    guidance: float | None = None


def read_card(folder: Path) -> Card:
    """The card of a model folder; an empty one when there is none."""
    try:
        text = (folder / "README.md").read_text(encoding="utf-8", errors="replace")
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


def _value(front: str, key: str) -> str | None:
    match = re.search(rf"^\s*{key}:[ \t]*(\S.*?)\s*$", front, re.MULTILINE)
    return match[1].strip("'\"") if match else None
