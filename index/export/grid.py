"""A grid: pictures side by side in one image, and nothing said of them.

Unlike a contact sheet it shows them in their own size, up to a limit, without words.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from index.atomic import write_atomically
from index.errors import ExportExists

if TYPE_CHECKING:
    from PIL import Image

LARGEST = 512
_GAP = 8


def refuse_standing(path: Path, force: bool = False) -> None:
    """Raise ExportExists when a file stands there and may not be overwritten."""
    if path.exists() and not force:
        raise ExportExists(f"{path} is there already.", "Choose another name.")


def grid(images: Sequence[Image.Image], columns: int | None = None) -> Image.Image:
    """The pictures in rows, as an RGB image; at least one.

    columns: None makes the grid about as many wide as high. The largest picture fills its cell,
    which is at most 512 pixels wide and high; what is transparent shows white.
    """
    from PIL import Image

    across = min(columns or math.ceil(math.sqrt(len(images))), len(images))
    down = -(-len(images) // across)
    scale = min(1.0, LARGEST / max(max(image.size) for image in images))
    sizes = [(round(i.width * scale) or 1, round(i.height * scale) or 1) for i in images]
    width, height = max(w for w, _ in sizes) + _GAP, max(h for _, h in sizes) + _GAP
    sheet = Image.new("RGB", (across * width + _GAP, down * height + _GAP), "white")
    for place, (image, size) in enumerate(zip(images, sizes, strict=True)):
        drawn = image.convert("RGBA").resize(size, Image.Resampling.LANCZOS)
        left = _GAP + place % across * width + (width - _GAP - size[0]) // 2
        top = _GAP + place // across * height + (height - _GAP - size[1]) // 2
        sheet.paste(drawn, (left, top), drawn)
    return sheet


def write_grid(images: Sequence[Image.Image], path: Path, columns: int | None = None) -> None:
    """Write the grid as a PNG file without metadata. Raises DiskFull or LibraryReadOnly."""
    buffer = io.BytesIO()
    grid(images, columns).save(buffer, "PNG")
    write_atomically(path, buffer.getvalue())
