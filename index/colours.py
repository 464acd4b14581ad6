"""The colours that a picture is made of, by their plain English names.

Pillow groups the pixels into a few colours; each takes the name of the nearest colour of a small
palette, measured in CIELAB, where distance is close to what an eye sees; groups of one name are
one colour. The same pixels give the same answer, always.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Several hues may stand for one name: a name covers a region, not a point.
PALETTE: tuple[tuple[str, str], ...] = (
    ("black", "#000000 #1a1a1a"),
    ("dark grey", "#404040 #555555"),
    ("grey", "#808080"),
    ("light grey", "#b8b8b8 #d0d0d0"),
    ("white", "#ffffff #f2f2f2"),
    ("red", "#e6191e #ff0000 #c81e1e #ff4d4d"),
    ("dark red", "#8b0000 #6e1414"),
    ("pink", "#ffc0cb #ff8fb4 #f4a6b8 #ff69b4 #f08a80"),
    ("magenta", "#ff00ff #d6249f #e0218a"),
    ("orange", "#ff8000 #ff6a13 #f59b42 #ffa500"),
    ("brown", "#8b4513 #6b3e1e #4f2f17 #a0622d #c08040"),
    ("beige", "#f5e6c8 #e8d3ae #d9bf94"),
    ("yellow", "#ffff00 #ffe135 #f7d716"),
    ("gold", "#d4a017 #c9971c"),
    ("olive", "#808000 #6b6b2a"),
    ("lime", "#a4e22e #7fff00 #bfff4d"),
    ("green", "#00a000 #2e9e44 #4cb050 #00e000"),
    ("dark green", "#0b4f1c #1e5631"),
    ("mint", "#aaf0c8 #98e4c0"),
    ("teal", "#008080 #136f70"),
    ("turquoise", "#30d5c8 #00e5e5 #40e0d0"),
    ("light blue", "#9fd3f5 #add8e6 #6cb8ee"),
    ("blue", "#0000ff #1e62d0 #2f6fe4 #3b8ede"),
    ("navy", "#000066 #14214d #1b2a5c"),
    ("purple", "#7a1fa2 #6a0dad #800080"),
    ("lavender", "#c9b3f0 #b497e7 #d8cbf2"),
)
SAMPLE_SIDE = 64
GROUPS = 16
LEAST_SHARE = 0.04
MOST_COLOURS = 6
OPAQUE = 128


@dataclass(frozen=True)
class Colour:
    """A name, the colour that stands for it in this picture (`#rrggbb`), its share of the area."""

    name: str
    hex: str
    share: float


def dominant_colours(image: Image.Image) -> list[Colour]:
    """At most six colours, the largest first, each at least 4 % of what can be seen.

    image: RGB or RGBA; see-through pixels count for nothing, and a picture of nothing else has no
    colours. Shares are of the visible area, 0..1.
    """
    groups, areas = _groups(image)
    if not len(groups):
        return []
    names = _names(groups)
    found = [
        Colour(name, _hex(groups[names == number], areas[names == number]), share)
        for number, (name, _) in enumerate(PALETTE)
        if (share := round(float(areas[names == number].sum() / areas.sum()), 4)) >= LEAST_SHARE
    ]
    return sorted(found, key=lambda colour: (-colour.share, colour.name))[:MOST_COLOURS]


def _groups(image: Image.Image) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Colours (n, 3) in sRGB and how many sampled pixels have each."""
    side = (min(SAMPLE_SIDE, image.width), min(SAMPLE_SIDE, image.height))
    small = image.resize(side, Image.Resampling.BOX).convert("RGBA")
    pixels = np.asarray(small).reshape(-1, 4)
    seen = pixels[pixels[:, 3] >= OPAQUE, :3]
    if not len(seen):
        return np.empty((0, 3), np.uint8), np.empty(0, np.int64)
    strip = Image.fromarray(seen[np.newaxis])
    few = strip.quantize(GROUPS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    numbers = np.asarray(few).ravel()
    areas = np.bincount(numbers)
    used = np.flatnonzero(areas)
    # the mean of the members, rather than the palette's own entry, keeps a flat colour exact
    sums = [np.bincount(numbers, weights=seen[:, band]) for band in range(3)]
    means = np.stack(sums, axis=1)[used] / areas[used, np.newaxis]
    return means.round().astype(np.uint8), areas[used]


def _names(groups: NDArray[np.uint8]) -> NDArray[np.int64]:
    """For each colour the number of its name in PALETTE."""
    anchors, owners = _anchors()
    distance = np.linalg.norm(to_lab(groups)[:, None] - anchors[None], axis=2)
    nearest: NDArray[np.int64] = owners[distance.argmin(axis=1)]
    return nearest


@cache
def _anchors() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    hues = [(n, hue) for n, (_, hues) in enumerate(PALETTE) for hue in hues.split()]
    values = np.array([list(bytes.fromhex(hue[1:])) for _, hue in hues], np.uint8)
    return to_lab(values), np.array([n for n, _ in hues])


def to_lab(colours: NDArray[np.uint8]) -> NDArray[np.float64]:
    """sRGB (n, 3) 0..255 to CIELAB (n, 3) under D65: L 0..100. After IEC 61966-2-1 and CIE 15."""
    linear = colours / 255.0
    linear = np.where(linear <= 0.04045, linear / 12.92, ((linear + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    xyz = linear @ to_xyz.T / np.array([0.9505, 1.0, 1.089])
    root = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    x, y, z = root.T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


def _hex(colours: NDArray[np.uint8], areas: NDArray[np.int64]) -> str:
    """The largest of a name's groups stands for it: a mean would be a colour nobody painted."""
    red, green, blue = colours[areas.argmax()]
    return f"#{red:02x}{green:02x}{blue:02x}"
