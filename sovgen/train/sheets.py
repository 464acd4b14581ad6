"""Sheets: pages of small pictures, for people to look at while a training runs."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image
from torch import Tensor

GAP = 2
GREY = "#888888"


def sheet(images: Sequence[Image.Image], columns: int = 8) -> Image.Image:
    """The pictures in rows, all cells as large as the largest."""
    width = max(i.width for i in images) + 2 * GAP
    height = max(i.height for i in images) + 2 * GAP
    rows = -(-len(images) // columns)
    page = Image.new("RGB", (width * min(columns, len(images)), height * rows), GREY)
    for i, image in enumerate(images):
        page.paste(image, (i % columns * width + GAP, i // columns * height + GAP))
    return page


def images_of(x: Tensor) -> list[Image.Image]:
    """(n, 3, h, w), 0 .. 1, as pictures."""
    bytes_ = (x.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    return [Image.fromarray(b) for b in bytes_]
