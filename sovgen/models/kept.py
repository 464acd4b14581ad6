"""Kept: what is remembered of a model beside its entry in the folder of models, never within it.

What was added is somebody else's folder, and a single file has no room for words. So the sums of
the weights, and the card of a file that was fetched, lie in a hidden folder of the same name. The
sums are in sha256sum's form, their names relative to the folder of models. Knows nothing of what
the weights hold.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from index.atomic import write_atomically
from index.hashes import SUMS, published_sums
from sovgen.models.store import models_folder

_KEPT = ".kept"


def keep(place: Path, sums: Mapping[Path, str], texts: Iterable[Path] = ()) -> None:
    """Remember the sums of an entry's files, and move texts here, in place of what was known.

    place: the entry, which need not be there yet; sums: hex digests by path within the entry
    """
    forget(place)
    folder = _folder(place)
    folder.mkdir(parents=True)
    lines = [f"{sums[p]}  {p.relative_to(place.parent).as_posix()}\n" for p in sorted(sums)]
    write_atomically(folder / SUMS, "".join(lines).encode("utf-8"))
    for text in texts:
        text.replace(folder / text.name)


def kept_sums(path: Path) -> dict[str, str]:
    """The sums of an entry, by names relative to the folder of models; else empty."""
    return published_sums(_folder(path)) if path.parent == models_folder() else {}


def kept_card(path: Path) -> Path | None:
    """Where an entry's card is, if it was kept."""
    return _folder(path) / "README.md" if path.parent == models_folder() else None


def forget(place: Path) -> None:
    """Remove what is remembered of an entry."""
    shutil.rmtree(_folder(place), ignore_errors=True)


def _folder(place: Path) -> Path:
    return models_folder() / _KEPT / place.name
