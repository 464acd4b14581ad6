"""The pixels of a picture, in the one form that its id is made from.

A picture is its pixels: two files that decode to the same pixels, upright and of the same size, are
one picture, whatever their format, compression or metadata. This file knows nothing of files,
metadata or libraries.

The id is the base32 (lower case, no padding, 52 characters) of a sha256 over every frame's header
`"<mode> <width> <height>\\n"` and its raw rows. The mode is `RGB`, or `RGBA` when any pixel is not
opaque; greyscale deeper than 8 bits keeps its depth (`I;16`, `I`, `F`, little endian).
"""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION = 0x0112
_DEEP = {"I;16": "<u2", "I": "<i4", "F": "<f4"}


@dataclass(frozen=True)
class Pixels:
    """A decoded picture: its id, its first frame in 8 bits (RGB or RGBA), how many frames."""

    id: str
    image: Image.Image
    frames: int


def pixel_id(image: Image.Image) -> str:
    """The id of a picture, orientation applied and all frames taken in: 52 characters of base32."""
    return read_pixels(image).id


def read_pixels(image: Image.Image) -> Pixels:
    """Decode every frame once. Raises whatever Pillow raises for data that cannot be decoded."""
    digest, first, count = hashlib.sha256(), None, 0
    for frame in frames(image):
        _feed(digest, frame)
        first = first or _eight_bits(frame)
        count += 1
    if first is None:
        raise ValueError("no frame in it")
    name = base64.b32encode(digest.digest()).decode("ascii").rstrip("=").lower()
    return Pixels(name, first, count)


def orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1..8; 1 when there is none or when the EXIF block is broken."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except (SyntaxError, ValueError, TypeError, KeyError, OSError, struct.error):
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def frame_count(image: Image.Image) -> int:
    """Frames of an animation or pages of a document; 1 for everything else."""
    if image.format == "MPO":  # a phone's JPEG with a preview or a depth map behind the picture
        return 1
    return int(getattr(image, "n_frames", 1))


def frames(image: Image.Image) -> Iterator[Image.Image]:
    """Each frame upright, in the mode that its id is made from, free of the file's metadata."""
    count = frame_count(image)
    for number in range(count):
        if count > 1:
            image.seek(number)
        image.load()
        frame = _canonical(image)
        turn = UPRIGHT.get(orientation(image))
        if turn is not None:
            frame = frame.transpose(turn)
        frame.info = {}
        yield frame


def _canonical(image: Image.Image) -> Image.Image:
    """RGB; RGBA when any pixel is not opaque; `I;16`, `I` or `F` for deep greyscale."""
    if image.mode.startswith("I;16"):
        return Image.fromarray(np.asarray(image).astype("<u2"))
    if image.mode in _DEEP:
        return image.copy()
    if not image.has_transparency_data:
        return image.copy() if image.mode == "RGB" else image.convert("RGB")
    clear = image.copy() if image.mode == "RGBA" else image.convert("RGBA")
    lowest, _ = clear.getchannel("A").getextrema()
    return clear if isinstance(lowest, int) and lowest < 255 else clear.convert("RGB")


def _feed(digest: Any, frame: Image.Image) -> None:  # noqa: ANN401 - hashlib names no public type
    digest.update(f"{frame.mode} {frame.width} {frame.height}\n".encode("ascii"))
    depth = _DEEP.get(frame.mode)
    digest.update(np.asarray(frame).astype(depth).tobytes() if depth else frame.tobytes())


def _eight_bits(frame: Image.Image) -> Image.Image:
    """What a screen shows: 16 bits lose their low byte, other depths are stretched to 0..255."""
    if frame.mode not in _DEEP:
        return frame
    values = np.nan_to_num(np.asarray(frame).astype(np.float64), posinf=0, neginf=0)
    low, high = (0.0, 65535.0) if frame.mode == "I;16" else _range(values)
    grey = np.round((values - low) * (255.0 / (high - low))).astype(np.uint8)
    return Image.fromarray(grey).convert("RGB")


def _range(values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    return (low, high) if high > low else (0.0, max(255.0, high))
