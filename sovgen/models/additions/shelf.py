"""The shelf: models and additions that have a name, side by side.

Knows where they lie and of what kind each is; opens none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sovgen.errors import SovgenError
from sovgen.models.additions.addition import list_additions
from sovgen.models.additions.kinds import kind_of
from sovgen.models.store import find_model, list_models


@dataclass(frozen=True)
class Shelved:
    """What has a name; kind is one of `kinds.KINDS`, or `unknown` for what cannot be told."""

    name: str
    kind: str
    path: Path
    bundled: bool = False


def list_shelf(folders: Sequence[Path] = ()) -> list[Shelved]:
    """The models, the bundled one first, then the additions by name."""
    additions = [Shelved(one.name, one.kind, one.path) for one in list_additions(folders)]
    taken = {one.path for one in additions}
    models = [
        Shelved(one.name, _kind(one.path), one.path, one.bundled)
        for one in list_models(folders)
        if one.path not in taken
    ]
    return [*models, *sorted(additions, key=lambda one: one.name)]


def find_shelved(name: str) -> Shelved:
    """What has that name. Raises ModelMissing with the nearest names of models."""
    for one in list_shelf():
        if one.name == name:
            return one
    found = find_model(name)
    return Shelved(found.name, _kind(found.path), found.path, found.bundled)


def _kind(path: Path) -> str:
    try:
        return kind_of(path) or "unknown"
    except SovgenError:
        return "unknown"
