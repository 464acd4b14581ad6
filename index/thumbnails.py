"""Thumbnails: a small WebP beside the library, made when a picture is added.

They are a cache: each can be made again from its picture, and its name is the picture's id. Each
carries a checksum of its own bytes, so that one that rotted is never taken for its picture. This
file knows nothing of the catalogue.
"""

from __future__ import annotations

import hashlib
import io
import re
from pathlib import Path

from PIL import ExifTags, Image

from index.atomic import disk_refusals, write_atomically

SIDE = 256
QUALITY = 80
_SIGN = re.compile(rb"[0-9a-f]{32}")  # Exif's ImageUniqueID: 128 bits in hexadecimal digits
_UNSIGNED = b"0" * 32


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


def read_thumbnail(id: str, root: Path) -> bytes | None:
    """The thumbnail of a picture as WebP; None when it is not there, or not as it was written."""
    try:
        data = thumbnail_path(id, root).read_bytes()
    except OSError:
        return None
    signs = _SIGN.findall(data)
    return data if signs and _signed(data, signs[-1]) == data else None


def thumbnail_bytes(image: Image.Image) -> bytes:
    """The thumbnail itself, as WebP; its ImageUniqueID is the checksum of its bytes."""
    small = image.copy() if max(image.size) <= SIDE else _reduced(image)
    small.info = {}
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ImageUniqueID] = _UNSIGNED.decode()
    out = io.BytesIO()
    small.save(out, "WEBP", quality=QUALITY, method=2, exif=exif)
    return _signed(out.getvalue(), _UNSIGNED)


def _signed(data: bytes, sign: bytes) -> bytes:
    """The same file with the checksum in place of a sign: of all its bytes, the sign unsigned."""
    before, _, after = data.rpartition(sign)
    digest = hashlib.blake2b(before + _UNSIGNED + after, digest_size=16).hexdigest()
    return before + digest.encode() + after


def _reduced(image: Image.Image) -> Image.Image:
    scale = SIDE / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
