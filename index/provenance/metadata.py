"""What a file carries beside its pixels, as text.

Producers write their account into PNG text chunks, or into the EXIF block of a JPEG or WebP. This
file finds and decodes the texts; it does not know what they mean.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from PIL import Image, PngImagePlugin

MAKE = 0x010F
MODEL = 0x0110
SOFTWARE = 0x0131
MAKER_NOTE = 0x927C
_EXIF_FOLDER = 0x8769
_USER_COMMENT = 0x9286


@dataclass(frozen=True)
class Metadata:
    """The texts of a file.

    texts: PNG text chunks by keyword, and `comment` of a GIF or JPEG
    exif: text entries of the EXIF block by tag number
    comment: EXIF UserComment, decoded; empty when there is none
    """

    texts: Mapping[str, str] = field(default_factory=dict)
    exif: Mapping[int, str] = field(default_factory=dict)
    comment: str = ""


def read_metadata(image: Image.Image) -> Metadata:
    """The texts of an opened picture; parts that are broken are left out."""
    # a PNG's texts may stand behind its pixels, so the picture has been loaded by now
    texts = {k: _text(v) for k, v in image.info.items() if isinstance(k, str) and _is_text(k, v)}
    exif, comment = _read_exif(image)
    return Metadata(texts, exif, comment)


def decode_comment(raw: bytes | str) -> str:
    """EXIF UserComment: an eight-byte name of the character code, then the text in it.

    The byte order of UNICODE is the file's in the standard and big endian in A1111's files, so it
    is told by where the zero bytes lie.
    """
    if isinstance(raw, str):
        return raw
    code, body = raw[:8], raw[8:]
    if code.startswith(b"UNICODE"):
        little = body[1::2].count(0) > body[0::2].count(0)
        return body.decode("utf-16-le" if little else "utf-16-be", "replace").strip("\x00")
    if code.startswith((b"ASCII", b"\x00\x00\x00")):
        return body.decode("utf-8", "replace").strip("\x00")
    return raw.decode("utf-8", "replace").strip("\x00")


def _is_text(key: str, value: object) -> bool:
    return isinstance(value, str) or (key == "comment" and isinstance(value, bytes))


def _text(value: Any) -> str:  # noqa: ANN401 - whatever Pillow found in the file
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace").strip("\x00")
    if not isinstance(value, str):
        return ""
    # Pillow's text chunks are subclasses of str that carry more; the plain text is enough
    return str(value) if isinstance(value, PngImagePlugin.iTXt) else _mended(str(value))


def _mended(text: str) -> str:
    """A tEXt chunk is Latin-1 by the standard and UTF-8 in many files; valid UTF-8 is no chance."""
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return text


def _read_exif(image: Image.Image) -> tuple[dict[int, str], str]:
    try:
        block = image.getexif()
        # writers put the tags of the EXIF folder into the main one, too
        entries = dict(block) | dict(block.get_ifd(_EXIF_FOLDER))
    except (SyntaxError, ValueError, TypeError, KeyError, IndexError, OSError, struct.error):
        return {}, ""
    comment = entries.pop(_USER_COMMENT, b"")
    texts = {tag: _text(value) for tag, value in entries.items() if isinstance(value, str | bytes)}
    return texts, decode_comment(comment) if isinstance(comment, bytes | str) else ""
