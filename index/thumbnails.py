"""Thumbnails: a small WebP beside the library, made when a picture is added.

They are a cache: each can be made again from its picture, and its name is the picture's id, so one
that stands is right. This file knows nothing of the catalogue.
"""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from index.atomic import disk_refusals, write_atomically

SIDE = 256
QUALITY = 80


def thumbnail_path(id: str, root: Path) -> Path:
    """Where the thumbnail of a picture belongs: `thumbs/<two characters>/<id>.webp`."""
    return root / "thumbs" / id[:2] / f"{id}.webp"


def make_thumbnail(image: Image.Image, id: str, root: Path) -> Path:
    """Write the thumbnail of an RGB or RGBA image unless it stands already; return its path.

    The longer side has 256 pixels at most; alpha is kept; nothing of the image's metadata is.
    Raises DiskFull or LibraryReadOnly.
    """
    path = thumbnail_path(id, root)
    with disk_refusals(path.parent):
        if path.exists():
            return path
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(path, thumbnail_bytes(image))
    return path


def thumbnail_bytes(image: Image.Image) -> bytes:
    """The thumbnail itself, as WebP."""
    small = image.copy() if max(image.size) <= SIDE else _reduced(image)
    small.info = {}
    out = io.BytesIO()
    small.save(out, "WEBP", quality=QUALITY, method=2)
    return out.getvalue()


def _reduced(image: Image.Image) -> Image.Image:
    scale = SIDE / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
