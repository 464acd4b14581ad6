"""A picture's file as it may leave: the same pixels, and nothing that tells of their making.

Files are stripped without touching the coded pixels where that is possible. Otherwise the pixels
are saved anew, losslessly: as PNG, or as TIFF what a PNG cannot hold. Either way the picture keeps
its id, except where text was hidden in the pixels themselves and had to be cleared.
"""

from __future__ import annotations

import io

from PIL import Image

from index.export.stealth import hides_text, without_hidden_text
from index.pixels import frames, pixel_id
from index.quiet import pillow_held_back
from index.record import FORMATS, Record
from index.stripping import strip


def cleaned(data: bytes, record: Record, image: Image.Image) -> tuple[bytes, str]:
    """The bytes to write and their suffix.

    data: the file; record and image: what reading it gave
    """
    if record.frames == 1 and hides_text(image):
        return _png(without_hidden_text(image)), ".png"
    with pillow_held_back():
        stripped = strip(data)
        if stripped is not None and _shows(stripped[0], record.id):
            return stripped
        return _anew(data)


def _shows(data: bytes, id: str) -> bool:
    """Whether a file still is the picture: a turn by EXIF is lost with the EXIF block."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            return pixel_id(image) == id
    except Exception:  # the stripped file is unusual in some way; the original was readable
        return False


def _anew(data: bytes) -> tuple[bytes, str]:
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        first, *others = frames(image)
    if not others and first.mode in ("RGB", "RGBA", "I;16"):
        return _png(first), ".png"
    out = io.BytesIO()
    first.save(out, "TIFF", compression="tiff_adobe_deflate", save_all=True, append_images=others)
    return out.getvalue(), ".tif"


def _png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()
