"""Lettering: the font that pictures are labelled in, and texts as it can print them.

It is the one that Pillow carries, which knows the letters of English and little else; for all
others it has one box.
"""

from __future__ import annotations

import unicodedata
from functools import cache

from PIL import ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
_PROBE_SIZE = 20
# A code point that no font has a letter for.
_NONE = "\U0010ffff"
_PLAIN = {"\u2013": "-", "\u2014": "-", "\u00df": "ss", "\u00f8": "o", "\u00d8": "O", "\u0142": "l"}


@cache
def font_of(size: int) -> Font:
    """The font, so many pixels high."""
    return ImageFont.load_default(size)


def printable(text: str) -> str:
    """The text without boxes: an accent that the font lacks is left off, a letter becomes "?"."""
    return "".join(map(_printed, text))


@cache
def _printed(letter: str) -> str:
    if _has(letter):
        return letter
    # Marks and joiners stand for nothing by themselves.
    parts = [part for part in unicodedata.normalize("NFKD", letter) if _category(part) not in "MC"]
    return "".join(part if _has(part) else _PLAIN.get(part, "?") for part in parts)


def _category(letter: str) -> str:
    return unicodedata.category(letter)[0]


def _has(letter: str) -> bool:
    if letter.isspace():
        return True
    font = font_of(_PROBE_SIZE)
    return bytes(font.getmask(letter)) != bytes(font.getmask(_NONE))
