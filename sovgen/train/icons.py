"""Icons: the drawings of one icon set, filtered and named.

Reads the icons.json of an iconify package. Names become captions: "red-apple" is "red apple".
Knows nothing of pixels (`raster`) or of how sets are put together (`dataset`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from sovgen.errors import BadDataset

INK = "#222222"


@dataclass(frozen=True)
class IconSet:
    """One [[set]] of a data recipe.

    package: NAME@VERSION on npm, or `folder`, relative to the recipe
    licence: SPDX, must equal what the package says
    styles: words that ask for this set's style
    weight: how often its pictures are drawn beside the others'
    role: "train", or "test" for what is never trained on
    keep, drop: regular expressions over names
    rename: pairs of pattern and replacement over captions
    variants: a pattern whose match ends the name of a variant of another icon
    run_together: names are written without gaps; those of other sets tell where the gaps are
    still: categories that are never mirrored
    """

    name: str
    licence: str
    styles: tuple[str, ...] = ()
    package: str = ""
    folder: str = ""
    weight: float = 1.0
    role: Literal["train", "test"] = "train"
    keep: str = ""
    drop: tuple[str, ...] = ()
    rename: tuple[Sequence[str], ...] = ()
    variants: str = ""
    run_together: bool = False
    still: tuple[str, ...] = ("Symbols", "Flags")

    def __post_init__(self) -> None:
        if bool(self.package) == bool(self.folder):
            raise ValueError(f"the set {self.name} names a package or a folder")
        for pattern in (self.keep, self.variants, *self.drop, *(p for p, _ in self.rename)):
            _checked(pattern)


def _checked(pattern: str) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from error


@dataclass(frozen=True)
class Icon:
    """One drawing: `svg` is a whole document, `mirror` says that it may be flipped."""

    set: str
    name: str
    caption: str
    svg: str
    mirror: bool = True


def read_icons(folder: Path, icon_set: IconSet, drop: Iterable[str]) -> list[Icon]:
    """The set's icons that pass every filter, in the file's order. Raises BadDataset."""
    path = folder / "icons.json"
    try:
        pack = json.loads(path.read_text(encoding="utf-8"))
        drawings: Mapping[str, Mapping[str, Any]] = pack["icons"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadDataset(
            f"{path} is not an icon set: {error}.", "It is to be an iconify icons.json."
        ) from error
    still = _still(folder, icon_set)
    wanted = _filter(icon_set, drop, drawings.keys())
    return [
        Icon(icon_set.name, name, _caption(name, icon_set), _svg(drawing, pack), name not in still)
        for name, drawing in drawings.items()
        if wanted(name) and drawing.get("body") and not drawing.get("hidden")
    ]


def spelt_out(icons: Sequence[Icon], run_together: set[str]) -> list[Icon]:
    """Icons of the sets `run_together` renamed as other sets spell them; the unknown left out."""
    spelling = {i.caption.replace(" ", ""): i.caption for i in icons if i.set not in run_together}
    named = []
    for icon in icons:
        if icon.set in run_together:
            caption = spelling.get(icon.caption.replace(" ", ""))
            if caption is None:
                continue
            icon = replace(icon, caption=caption)
        named.append(icon)
    return named


def _filter(icon_set: IconSet, drop: Iterable[str], names: Iterable[str]) -> Callable[[str], bool]:
    refused = [re.compile(p) for p in (*drop, *icon_set.drop)]
    kept = re.compile(icon_set.keep)
    variant = re.compile(icon_set.variants) if icon_set.variants else None
    known = set(names)

    def wanted(name: str) -> bool:
        if not kept.search(name) or any(p.search(name) for p in refused):
            return False
        stem = variant.sub("", name) if variant else name
        return stem == name or not (stem in known or f"{stem}-medium-dark" in known)

    return wanted


def _caption(name: str, icon_set: IconSet) -> str:
    caption = name.replace("-", " ")
    for pattern, replacement in icon_set.rename:
        caption = re.sub(pattern, replacement, caption)
    return caption.strip()


def _still(folder: Path, icon_set: IconSet) -> set[str]:
    path = folder / "metadata.json"
    if not path.exists():
        return set()
    categories = json.loads(path.read_text(encoding="utf-8")).get("categories", {})
    return {name for c in icon_set.still for name in categories.get(c, ())}


def _svg(drawing: Mapping[str, Any], pack: Mapping[str, Any]) -> str:
    size = {k: drawing.get(k, pack.get(k, 16)) for k in ("width", "height")}
    corner = {k: drawing.get(k, pack.get(k, 0)) for k in ("left", "top")}
    body = str(drawing["body"]).replace("currentColor", INK)
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="{corner["left"]} {corner["top"]} {size["width"]} {size["height"]}" '
        f'width="{size["width"]}" height="{size["height"]}">{body}</svg>'
    )
