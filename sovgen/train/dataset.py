"""Dataset: the pictures that training learns from, built from a recipe, read by a memory map.

    DATA/pictures.u8      (n, side, side, 4) uint8, RGBA with straight alpha, row after row
    DATA/test.u8          likewise, from the sets whose role is "test": never trained on
    DATA/dataset.json     what each row is: set, name, caption, keywords, styles, weight, split
    DATA/ATTRIBUTION.md   who made them, under which licence

About `held_out` of the pictures, chosen by a hash of their names, are kept for validation.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sovgen.errors import BadDataset, BadSettings
from sovgen.train.icons import Icon, IconSet, read_icons, spelt_out
from sovgen.train.packages import Credit, check_licence, fetch, read_credit
from sovgen.train.plan import fill, read_toml
from sovgen.train.raster import ink, rasterise_all
from sovgen.train.room import room_told

Notice = Callable[[str], None]


@dataclass(frozen=True)
class Keywords:
    """The [keywords] of a recipe: other words for a name, from a list of {label, tags}."""

    licence: str
    file: str
    package: str = ""
    folder: str = ""


@dataclass(frozen=True)
class DataRecipe:
    """What a data set is made of; see data/train/icons.toml."""

    name: str
    side: int = 128
    min_ink: float = 0.03
    held_out: float = 0.03
    drop: tuple[str, ...] = ()
    sets: tuple[IconSet, ...] = ()
    keywords: Keywords | None = None


@dataclass(frozen=True)
class Picture:
    """One row: what it shows, how it may be asked for, and how often it is drawn."""

    set: str
    name: str
    caption: str
    keywords: Sequence[str]
    styles: Sequence[str]
    weight: float
    mirror: bool
    held_out: bool


@dataclass(frozen=True)
class Dataset:
    """Pictures with their pixels, (n, side, side, 4) uint8, mapped from disk."""

    folder: Path
    pixels: NDArray[np.uint8]
    pictures: Sequence[Picture]

    def rows(self, *, held_out: bool) -> NDArray[np.int64]:
        """The rows to train on, or those held out; all of them where there is but one kind."""
        chosen = [i for i, p in enumerate(self.pictures) if p.held_out == held_out]
        return np.array(chosen or range(len(self.pictures)), np.int64)


def read_recipe(path: Path) -> DataRecipe:
    """A data recipe. Raises BadSettings."""
    tables = read_toml(path)
    sets = tuple(fill(IconSet, s, f"{path} [[set]]") for s in tables.pop("set", []))
    names = Counter(s.name for s in sets)
    twice = [name for name, count in names.items() if count > 1]
    if twice:
        raise BadSettings(f"{path}: two sets are called {twice[0]!r}.", "Give each its own name.")
    words = tables.pop("keywords", None)
    keywords = fill(Keywords, words, f"{path} [keywords]") if words else None
    return fill(DataRecipe, tables | {"sets": sets, "keywords": keywords}, str(path))


def build(path: Path, folder: Path, *, packages: Path, workers: int, on_notice: Notice) -> Dataset:
    """Builds the data set of a recipe into `folder`, which must not hold one yet.

    Raises BadDataset when a package cannot be had, its licence is not the recipe's, or nothing is
    left to learn from; NoRoom when the disk is full. Nothing half-built stays behind.
    """
    recipe = read_recipe(path)
    if (folder / "dataset.json").exists():
        raise BadDataset(f"{folder} holds a data set already.", "Name another folder.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadDataset(f"{folder} holds something else.", "Name an empty folder, or a new one.")
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with room_told(f"No room for the data set in {folder}.", "It takes about 1 GB."):
            partial.mkdir(parents=True)
            _build(recipe, path.parent, partial, packages, workers, on_notice)
            os.replace(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return open_dataset(folder)


def open_dataset(folder: Path, split: str = "pictures") -> Dataset:
    """The data set in that folder; `split` is "pictures" or "test". Raises BadDataset."""
    try:
        said = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
        pictures = [Picture(**p) for p in said[split]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadDataset(
            f"There is no data set in {folder}.",
            "Build one: sovgen train dataset build RECIPE.toml --to DIR.",
        ) from error
    shape = (len(pictures), said["side"], said["side"], 4)
    file = folder / f"{split}.u8"
    if not pictures or not file.exists() or file.stat().st_size != int(np.prod(shape)):
        raise BadDataset(f"{file} is empty or damaged.", "Delete the folder and build it again.")
    return Dataset(folder, np.memmap(file, np.uint8, "r", shape=shape), pictures)


def _build(
    recipe: DataRecipe, base: Path, folder: Path, packages: Path, workers: int, notice: Notice
) -> None:
    credits: list[Credit] = []
    icons: list[Icon] = []
    for s in recipe.sets:
        where, credit = _source(s.package, s.folder, base, packages, notice)
        check_licence(credit, s.licence, trained_on=s.role == "train")
        credits.append(credit)
        icons += read_icons(where, s, recipe.drop)
    words = _keywords(recipe.keywords, base, packages, credits, notice)
    by_name = {s.name: s for s in recipe.sets}
    icons = spelt_out(icons, {s.name for s in recipe.sets if s.run_together})
    trained = [i for i in icons if by_name[i.set].role == "train"]
    known = {i.caption for i in trained}
    tested = [i for i in icons if by_name[i.set].role == "test" and i.caption in known]
    said: dict[str, object] = {"name": recipe.name, "side": recipe.side}
    for split, some in (("pictures", trained), ("test", tested)):
        rows = _write_pixels(folder / f"{split}.u8", some, recipe, workers, notice)
        said[split] = [dataclasses.asdict(_picture(i, by_name[i.set], words, recipe)) for i in rows]
    if not said["pictures"]:
        raise BadDataset(f"{recipe.name}: no picture is left to learn from.", "See its filters.")
    (folder / "dataset.json").write_text(json.dumps(said), encoding="utf-8")
    (folder / "ATTRIBUTION.md").write_text(_attribution(recipe, credits), encoding="utf-8")


def _source(
    package: str, local: str, base: Path, packages: Path, notice: Notice
) -> tuple[Path, Credit]:
    folder = base / local if local else fetch(package, packages, notice)
    return folder, read_credit(folder, package or local)


def _write_pixels(
    file: Path, icons: Sequence[Icon], recipe: DataRecipe, workers: int, notice: Notice
) -> list[Icon]:
    """Writes the rows of those that can be read and show enough; returns them in that order."""
    kept, unreadable, faint = [], 0, 0
    with file.open("wb") as out:
        drawn = rasterise_all([i.svg for i in icons], recipe.side, workers)
        for icon, rgba in zip(icons, drawn, strict=True):
            if rgba is None:
                unreadable += 1
                notice(f"Left out, unreadable: {icon.set}/{icon.name}.")
            elif ink(rgba) < recipe.min_ink:
                faint += 1
            else:
                out.write(rgba.tobytes())
                kept.append(icon)
    counts = ", ".join(f"{n} {s}" for s, n in Counter(i.set for i in kept).items())
    notice(f"{file.stem}: {len(kept)} kept ({counts}); {faint} faint, {unreadable} unreadable.")
    return kept


def _picture(
    icon: Icon, icon_set: IconSet, words: Mapping[str, list[str]], recipe: DataRecipe
) -> Picture:
    share = int(hashlib.sha256(f"{icon.set}/{icon.name}".encode()).hexdigest()[:8], 16) / 2**32
    return Picture(
        set=icon.set,
        name=icon.name,
        caption=icon.caption,
        keywords=words.get(icon.caption, []),
        styles=icon_set.styles,
        weight=icon_set.weight,
        mirror=icon.mirror,
        held_out=share < recipe.held_out,
    )


def _keywords(
    keywords: Keywords | None, base: Path, packages: Path, credits: list[Credit], notice: Notice
) -> dict[str, list[str]]:
    if keywords is None:
        return {}
    folder, credit = _source(keywords.package, keywords.folder, base, packages, notice)
    check_licence(credit, keywords.licence, trained_on=True)
    credits.append(credit)
    try:
        entries = json.loads((folder / keywords.file).read_text(encoding="utf-8"))
        return {_plain(e["label"]): e.get("tags", []) for e in entries}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadDataset(
            f"{folder / keywords.file} holds no keywords: {error}.",
            "It is to be a list of {label, tags}.",
        ) from error


def _plain(label: str) -> str:
    return re.sub(r"[^a-z0-9]+", " ", label.lower()).strip()


def _attribution(recipe: DataRecipe, credits: Iterable[Credit]) -> str:
    tests = {s.package or s.folder for s in recipe.sets if s.role == "test"}
    lines = [f"# Attribution of the data set {recipe.name}", ""]
    lines += ["| package | by | licence | source | used for |", "| --- | --- | --- | --- | --- |"]
    for c in credits:
        use = "testing only" if c.package in tests else "training"
        lines.append(f"| {c.package} | {c.author} | {c.licence} | {c.url} | {use} |")
    return "\n".join(lines) + "\n"
