"""Labelled pictures for measuring: emoji of public icon sets, with the words that are true of them.

`npm pack` fetches the sets and resvg draws them, once, into build/benchmarks. README.md beside
this file names the sets and their licences. Nothing of them is committed.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from tests.benchmarks.measure import FOLDER

LABELS = "emojibase-data@17.0.0"
PACKAGES = {"openmoji": "@iconify-json/openmoji@1.2.29", "noto": "@iconify-json/noto@1.2.9"}
SIDE = 128

# The general words that are true of a whole subgroup of Unicode's emoji, where they are.
GENERAL = {
    r"face-.*|cat-face|monkey-face": "face",
    r"person.*|family": "person",
    r"hand.*": "hand",
    r"animal-.*": "animal",
    r"animal-bird": "bird",
    r"animal-reptile": "reptile",
    r"animal-marine": "sea animal",
    r"animal-bug": "insect",
    r"plant-.*": "plant",
    r"plant-flower": "flower",
    r"food-.*|drink": "food",
    r"food-fruit": "fruit",
    r"food-vegetable": "vegetable",
    r"food-prepared|food-asian": "meal",
    r"food-sweet": "dessert",
    r"drink": "drink",
    r"place-geographic": "landscape",
    r"place-building|place-religious": "building",
    r"transport-(ground|water|air)": "vehicle",
    r"transport-water": "boat",
    r"transport-air": "aircraft",
    r"sky-weather": "sky weather",
    r"sport": "sport",
    r"game": "game toy",
    r"clothing": "clothes",
    r"music.*": "music",
    r"musical-instrument": "musical instrument",
    r"phone": "telephone",
    r"computer": "computer",
    r"book-paper": "paper",
    r"money": "money",
    r"mail": "mail",
    r"tool": "tool",
}
SYMBOLS = 8  # the number of Unicode's group "symbols"


@dataclass(frozen=True)
class Labelled:
    """A picture on a white ground, its name, and every word that is true of it (singular)."""

    name: str
    words: frozenset[str]
    image: Image.Image


def labelled_pictures(name: str) -> list[Labelled]:
    """All emoji of `openmoji` or `noto` that Unicode names, without skin tones and flags."""
    labels = _labels()
    return [
        Labelled(label, labels[label], image) for label, image in _drawn(name) if label in labels
    ]


def singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and re.search(r"[^s]s$", word) else word


def split_words(text: str) -> frozenset[str]:
    return frozenset(singular(word) for word in re.split(r"[^a-z0-9]+", text.lower()) if word)


def _labels() -> dict[str, frozenset[str]]:
    folder = _fetch(LABELS)
    subgroups = json.loads((folder / "meta/groups.json").read_bytes())["subgroups"]
    entries = json.loads((folder / "en/data.json").read_bytes())
    return {
        _plain(entry["label"]): _true_words(entry, subgroups)
        for entry in entries
        if "group" in entry and not entry["label"].startswith("flag:")
    }


def _true_words(entry: dict[str, object], subgroups: dict[str, str]) -> frozenset[str]:
    subgroup = subgroups[str(entry["subgroup"])]
    texts = [str(entry["label"]), *map(str, entry.get("tags", []))]  # type: ignore[call-overload]
    texts += [words for pattern, words in GENERAL.items() if re.fullmatch(pattern, subgroup)]
    texts += ["symbol"] if entry["group"] == SYMBOLS else []
    return frozenset().union(*map(split_words, texts))


def _plain(label: str) -> str:
    return re.sub(r"[^a-z0-9]+", " ", label.lower()).strip()


def _drawn(name: str) -> Iterator[tuple[str, Image.Image]]:
    store = FOLDER / f"{name}.npz"
    if not store.is_file():
        _draw(name, store)
    with np.load(store) as stored:
        labels, pixels = stored["labels"], stored["pixels"]
    for label, array in zip(labels, pixels, strict=True):
        yield str(label), Image.fromarray(array)


def _draw(name: str, store: Path) -> None:
    icons = json.loads((_fetch(PACKAGES[name]) / "icons.json").read_bytes())
    size = (icons.get("width", 16), icons.get("height", 16))
    pictures = [
        (
            _plain(label),
            _raster(icon["body"], icon.get("width", size[0]), icon.get("height", size[1])),
        )
        for label, icon in icons["icons"].items()
        if not icon.get("hidden")
    ]
    np.savez(
        store,
        labels=np.array([label for label, _ in pictures]),
        pixels=np.stack([np.asarray(image) for _, image in pictures]),
    )


def _raster(body: str, width: int, height: int) -> Image.Image:
    import resvg_py

    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
        f"{body.replace('currentColor', '#222')}</svg>"
    )
    wide, high = (SIDE, None) if width >= height else (None, SIDE)
    png = resvg_py.svg_to_bytes(svg_string=svg, width=wide, height=high)
    image = Image.open(io.BytesIO(bytes(png)))
    ground = Image.new("RGBA", (SIDE, SIDE), "white")
    rgba = image.convert("RGBA")
    ground.alpha_composite(rgba, ((SIDE - rgba.width) // 2, (SIDE - rgba.height) // 2))
    return ground.convert("RGB")


def _fetch(package: str) -> Path:
    """The unpacked folder of an npm package, fetched when it is not there yet."""
    folder = FOLDER / "packages" / re.sub(r"[^a-z0-9.]+", "-", package).strip("-")
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        command = ["npm", "pack", "--silent", "--pack-destination", str(folder.parent), package]
        archive = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
        with gzip.open(folder.parent / archive) as file, tarfile.open(fileobj=file) as tar:
            tar.extractall(folder.with_suffix(".partial"), filter="data")
        (folder.with_suffix(".partial") / "package").rename(folder)
    return folder
