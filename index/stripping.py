"""Picture files without anything but their pixels, and without decoding them.

PNG, JPEG, WebP and GIF are sequences of labelled blocks. What is needed to show the picture is
copied, everything else falls: texts, EXIF, XMP, colour profiles (they carry dates and device
names), thumbnails, comments, unknown blocks, and whatever follows the end. A file whose blocks are
not as its format has them is answered with None; its pixels can still be saved anew.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_KEPT = frozenset(
    b"IHDR PLTE IDAT IEND tRNS gAMA cHRM sRGB sBIT bKGD pHYs acTL fcTL fdAT".split()
)
_PNG_TEXTS = frozenset((b"tEXt", b"zTXt", b"iTXt"))
_WEBP_KEPT = frozenset((b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF"))
_WEBP_PROFILE_EXIF_XMP = 0x20 | 0x08 | 0x04
_ANMF_HEAD = 16
_GIF_LOOPS = (b"NETSCAPE2.0", b"ANIMEXTS1.0")
# In the coded data of a JPEG, FF is followed by 00 or by a restart marker; anything else ends it.
_JPEG_END_OF_SCAN = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]")
_SOI, _EOI, _SOS, _COM, _APP0, _APP14 = 0xD8, 0xD9, 0xDA, 0xFE, 0xE0, 0xEE


def strip(data: bytes) -> tuple[bytes, str] | None:
    """The stripped file and its suffix; None for another format or broken blocks."""
    for beginning, suffix, clean in _CLEANERS:
        if data.startswith(beginning):
            try:
                return clean(data), suffix
            except (ValueError, IndexError, struct.error):
                return None
    return None


def without_texts(data: bytes) -> bytes | None:
    """A PNG without its text chunks; None for another format or broken blocks."""
    if not data.startswith(_PNG):
        return None
    try:
        return _PNG + b"".join(c for kind, c in _png_chunks(data) if kind not in _PNG_TEXTS)
    except struct.error:
        return None


def _png(data: bytes) -> bytes:
    return _PNG + b"".join(chunk for kind, chunk in _png_chunks(data) if kind in _PNG_KEPT)


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Each chunk up to IEND: its kind, and all of its bytes."""
    place, kind = len(_PNG), b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, place)
        chunk = data[place : place + length + 12]
        if len(chunk) != length + 12:
            raise struct.error("a chunk reaches beyond the file")
        yield kind, chunk
        place += length + 12


def _jpeg(data: bytes) -> bytes:
    place, kept = 2, [data[:2]]
    while True:
        marker, body, place = _segment(data, place)
        if marker == _EOI:
            return b"".join([*kept, b"\xff\xd9"])
        kept.append(_kept_segment(marker, body))
        if marker == _SOS:
            end = _JPEG_END_OF_SCAN.search(data, place)
            if end is None:
                raise ValueError("no end of the picture")
            kept.append(data[place : end.start()])
            place = end.start()


def _segment(data: bytes, place: int) -> tuple[int, bytes, int]:
    """Marker, body without its length, and where the next begins; FF may be repeated before."""
    if data[place] != 0xFF:
        raise ValueError("no marker")
    while data[place] == 0xFF:
        place += 1
    if data[place] == _EOI:
        return _EOI, b"", place + 1
    (length,) = struct.unpack_from(">H", data, place + 1)
    return data[place], data[place + 3 : place + 1 + length], place + 1 + length


def _kept_segment(marker: int, body: bytes) -> bytes:
    if marker == _APP0 and body.startswith(b"JFIF\x00"):
        body = body[:12] + b"\x00\x00"  # the density stays, the thumbnail goes
    elif marker == _APP14 and body.startswith(b"Adobe"):
        body = body[:12]  # it says how colours are coded
    elif marker == _COM or _APP0 <= marker <= 0xEF:
        return b""
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def _webp(data: bytes) -> bytes:
    (size,) = struct.unpack_from("<I", data, 4)
    if data[8:12] != b"WEBP" or size + 8 > len(data):
        raise ValueError("no whole WebP")
    body = b"".join(_riff(data[12 : size + 8]))
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def _riff(data: bytes) -> Iterator[bytes]:
    place = 0
    while place < len(data):
        kind, length = struct.unpack_from("<4sI", data, place)
        body = data[place + 8 : place + 8 + length]
        if len(body) != length:
            raise ValueError("a chunk reaches beyond the file")
        place += 8 + length + length % 2
        if kind not in _WEBP_KEPT:
            continue
        if kind == b"VP8X":
            body = bytes([body[0] & ~_WEBP_PROFILE_EXIF_XMP]) + body[1:]
        elif kind == b"ANMF":
            body = body[:_ANMF_HEAD] + b"".join(_riff(body[_ANMF_HEAD:]))
        yield struct.pack("<4sI", kind, len(body)) + body + b"\x00" * (len(body) % 2)


def _gif(data: bytes) -> bytes:
    place = 13 + _colours(data[10])
    kept = [data[:place]]
    while data[place] != 0x3B:
        start = place
        if data[place] == 0x2C:
            place = _after_blocks(data, place + 11 + _colours(data[place + 9]))
            kept.append(data[start:place])
        elif data[place] == 0x21:
            place = _after_blocks(data, place + 2)
            if _is_needed(data, start):
                kept.append(data[start:place])
        else:
            raise ValueError("no block")
    return b"".join([*kept, b"\x3b"])


def _colours(flags: int) -> int:
    """Bytes of the colour table that the flags announce."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _after_blocks(data: bytes, place: int) -> int:
    while data[place]:
        place += data[place] + 1
    return place + 1


def _is_needed(data: bytes, place: int) -> bool:
    """Timing and looping are; comments, plain text and foreign extensions are not."""
    label = data[place + 1]
    return label == 0xF9 or (label == 0xFF and data[place + 3 : place + 14] in _GIF_LOOPS)


_CLEANERS: tuple[tuple[bytes, str, Callable[[bytes], bytes]], ...] = (
    (_PNG, ".png", _png),
    (b"\xff\xd8\xff", ".jpg", _jpeg),
    (b"RIFF", ".webp", _webp),
    (b"GIF8", ".gif", _gif),
)
