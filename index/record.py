"""Record: everything that one picture file says about itself, read once.

A file goes in, a Record and its pixels come out, or an UnreadableImage with one clear line. This
file knows nothing of libraries, encoders or databases; who made the picture is asked of
`index.provenance`.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from index.errors import UnreadableImage
from index.making import Making
from index.pixels import Pixels, frame_count, pixel_id, read_pixels
from index.provenance import read_making, read_metadata
from index.quiet import pillow_held_back
from index.stripping import without_texts

__all__ = [
    "FORMATS",
    "SUFFIXES",
    "Record",
    "candidates",
    "picture_of",
    "pixel_id",
    "read_bytes",
    "read_picture",
]

# Named one by one: Pillow's other formats run programs (EPS), or take almost any bytes (TGA).
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000")
_KNOWN = f"Known kinds: {', '.join(FORMATS)}."
SUFFIXES = frozenset(
    ".png .apng .jpg .jpeg .jpe .jfif .mpo .webp .gif .bmp .tif .tiff .avif .jp2 .j2k".split()
)
# Pillow refuses more than twice its own warning level; ours agrees, whatever that level is set to.
MAX_PIXELS = 178_956_970
MAX_MOVING_PIXELS = 4_000_000_000
MAX_BYTES = 2 * 1024**3

_BEGINNINGS = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"BM", b"II*\x00", b"MM\x00*")


@dataclass(frozen=True)
class Record:
    """One picture file.

    path: as it was given; raw_path: its bytes when the name is not UTF-8, else None
    bytes: the file's size; file_sha256: 64 hex digits; mtime_ns: as `os.stat` gives it
    id: 52 characters, from the pixels alone (`index.pixels`)
    width, height: pixels, after the EXIF orientation is applied; frames: 1 for a still
    media: such as image/png; making: how it was made, where the file says so
    """

    path: Path
    raw_path: bytes | None
    bytes: int
    file_sha256: str
    id: str
    width: int
    height: int
    media: str
    frames: int
    mtime_ns: int
    making: Making | None


def read_picture(path: str | Path) -> tuple[Record, Image.Image]:
    """Read a file once: what it says, and its first frame upright, in 8 bits, RGB or RGBA.

    Raises UnreadableImage for a file that is missing, forbidden, empty, no picture, truncated,
    damaged, or larger than MAX_PIXELS (MAX_MOVING_PIXELS over all frames of an animation).
    """
    path = Path(path)
    return picture_of(path, *read_bytes(path))


def picture_of(path: Path, data: bytes, mtime_ns: int) -> tuple[Record, Image.Image]:
    """As `read_picture`, for a file whose bytes have been read. Raises UnreadableImage."""
    with pillow_held_back():
        image, pixels = _decoded(path, data)
        making = read_making(read_metadata(image))
    record = Record(
        path=path,
        raw_path=_raw(path),
        bytes=len(data),
        file_sha256=hashlib.sha256(data).hexdigest(),
        id=pixels.id,
        width=pixels.image.width,
        height=pixels.image.height,
        media=_media(image),
        frames=pixels.frames,
        mtime_ns=mtime_ns,
        making=making,
    )
    return record, pixels.image


def candidates(paths: Iterable[str | Path]) -> Iterator[Path]:
    """The files to read: those named, and the picture files within the folders named.

    Folders are walked in the order of their names' bytes; hidden entries and links to folders are
    left out, and so is a file whose suffix is no picture's. What is named itself is always given,
    picture or not, so that reading it says what is wrong with it; so is a folder that cannot be
    listed. No path is given twice.
    """
    seen: set[str] = set()
    for named in paths:
        for path in _walk(Path(named)) if os.path.isdir(named) else (Path(named),):
            place = os.path.abspath(path)
            if place not in seen:
                seen.add(place)
                yield path


def _walk(folder: Path) -> Iterator[Path]:
    try:
        with os.scandir(folder) as entries:
            inside = sorted(entries, key=lambda entry: os.fsencode(entry.name))
    except OSError:
        yield folder
        return
    for entry in inside:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(folder / entry.name)
        elif Path(entry.name).suffix.lower() in SUFFIXES and not entry.is_dir():
            yield folder / entry.name


def read_bytes(path: Path) -> tuple[bytes, int]:
    """The file's bytes and its mtime, from one open file, so that they belong together.

    Raises UnreadableImage for what is no file, is empty, too large or cannot be read.
    """
    try:
        with open(path, "rb", opener=_opener) as file:
            about = os.fstat(file.fileno())
            _refuse_others(path, about)
            return file.read(), about.st_mtime_ns
    except FileNotFoundError as error:
        raise UnreadableImage(path, "there is no such file") from error
    except PermissionError as error:
        raise UnreadableImage(path, "no permission to read it") from error
    except IsADirectoryError as error:
        raise UnreadableImage(path, "it is a folder") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UnreadableImage(path, reason[:1].lower() + reason[1:]) from error


def _opener(path: str, flags: int) -> int:
    # a named pipe would otherwise wait for a writer for ever
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _refuse_others(path: Path, about: os.stat_result) -> None:
    if not stat.S_ISREG(about.st_mode):
        raise UnreadableImage(path, "it is a device or a pipe, not a file")
    if about.st_size == 0:
        raise UnreadableImage(path, "the file is empty")
    if about.st_size > MAX_BYTES:
        raise UnreadableImage(path, f"the file is larger than {MAX_BYTES // 1024**3} GiB")


def _decoded(path: Path, data: bytes) -> tuple[Image.Image, Pixels]:
    try:
        return _decoded_once(path, data)
    except UnreadableImage as error:
        # Pillow refuses a picture for a text beside it that is long; the picture is none the worse
        plain = without_texts(data) if isinstance(error.__cause__, ValueError) else None
        if plain is None:
            raise
        return _decoded_once(path, plain)


def _decoded_once(path: Path, data: bytes) -> tuple[Image.Image, Pixels]:
    image = _open(path, data)
    _refuse_bombs(path, image)
    return image, _decode(path, image)


def _open(path: Path, data: bytes) -> Image.Image:
    """The header only; nothing is decoded yet."""
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise UnreadableImage(path, _stranger(data), _KNOWN) from error
    except Image.DecompressionBombError as error:
        raise UnreadableImage(path, f"more than {MAX_PIXELS:,} pixels") from error
    except Exception as error:  # a parser of hostile bytes raises anything; all of it means this
        raise UnreadableImage(path, _damage(error)) from error


def _refuse_bombs(path: Path, image: Image.Image) -> None:
    size = f"{image.width:,} x {image.height:,}"
    if image.width * image.height > MAX_PIXELS:
        raise UnreadableImage(path, f"{size} is more than {MAX_PIXELS:,} pixels")
    try:
        frames = frame_count(image)
    except Exception as error:  # counting walks through the file: hostile bytes again
        raise UnreadableImage(path, _damage(error)) from error
    if frames > 1 and image.width * image.height * frames > MAX_MOVING_PIXELS:
        raise UnreadableImage(path, f"{frames:,} frames of {size} are too much to decode")


def _decode(path: Path, image: Image.Image) -> Pixels:
    try:
        return read_pixels(image)
    except Exception as error:  # as in _open
        raise UnreadableImage(path, _damage(error)) from error


def _stranger(data: bytes) -> str:
    if data.startswith(_BEGINNINGS):
        return "the file is truncated or damaged"
    return "it is text, not a picture" if _is_text(data) else "it is no picture of a known kind"


def _is_text(data: bytes) -> bool:
    head = data[:4096]
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        # a character cut in two by the slice is no sign against text
        return len(data) > len(head) and error.start >= len(head) - 3
    return b"\x00" not in head


def _damage(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "not enough memory to decode it"
    if "truncated" in str(error).lower():
        return "the file is truncated"
    return "the file is damaged"


def _media(image: Image.Image) -> str:
    if image.format == "MPO":
        return "image/jpeg"
    return Image.MIME.get(image.format or "", "application/octet-stream")


def _raw(path: Path) -> bytes | None:
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        return os.fsencode(path)
    return None
