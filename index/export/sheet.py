"""Format `sheet`: contact sheets; and the drawing of one, for whoever has rows of pictures to show.

Text is drawn in the font that Pillow carries, as far as that knows its letters.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw

from index.export.lettering import Font, font_of, printable
from index.export.rows import Metadata
from index.export.source import read_source

if TYPE_CHECKING:
    from index.entry import Entry
    from index.store import Store

SIDE = 192
COLUMNS = 6
PAGE = 36
_GAP = 14
_LABEL_SIZE, _CAPTION_SIZE = 18, 12
_LEADING = 1.35
_PAPER, _INK, _FAINT, _MARK = "#ffffff", "#1c1c1c", "#5f5f5f", "#1a8f3c"
_FRAME = 4
_MOST_LINES = 2
_MOST_TEXT = 600


@dataclass(frozen=True)
class Tile:
    """One picture of a sheet: what is written under it, and whether it is framed in green."""

    image: Image.Image
    caption: str = ""
    marked: bool = False


@dataclass(frozen=True)
class Band:
    """One row of a sheet: what is written over it, and its pictures from left to right."""

    label: str
    tiles: Sequence[Tile]


def contact_sheet(bands: Sequence[Band], side: int = SIDE, foot: str = "") -> Image.Image:
    """Draw rows of pictures under their labels; an RGB image without metadata.

    side: pixels of the square that each picture is fitted into; foot: what is written below all.
    Texts take two lines at most.
    """
    columns = max((len(band.tiles) for band in bands), default=1)
    width = _GAP + max(columns, 3) * (side + _GAP)
    heights = [_height(band, width, side) for band in bands]
    below = _lines(foot, _CAPTION_SIZE, width - 2 * _GAP)
    room = len(below) * _line(_CAPTION_SIZE) + (_GAP if below else 0)
    sheet = Image.new("RGB", (width, sum(heights) + room + _GAP), _PAPER)
    top = 0
    for band, height in zip(bands, heights, strict=True):
        _draw_band(sheet, band, top, side)
        top += height
    _draw_text(sheet, below, (_GAP, top + _GAP), _CAPTION_SIZE, _FAINT)
    return sheet


def stems(count: int) -> set[str]:
    """The names, without suffixes, that an export of so many pictures writes."""
    return {f"sheet-{page:02d}" for page in range(1, -(-count // PAGE) + 1)} | {"manifest"}


def write(
    store: Store,
    entries: Sequence[Entry],
    out: Path,
    metadata: Metadata,
    on_progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write sheets of 36 pictures as sheet-01.png and so on. Raises UnreadableImage."""
    done = 0
    for start in range(0, len(entries), PAGE):
        tiles = []
        for entry in entries[start : start + PAGE]:
            image = _fitted(read_source(store, entry).image, SIDE)
            done += 1
            tiles.append(Tile(image, _caption(entry, done, metadata)))
            if on_progress is not None:
                on_progress(done, len(entries))
        lines = [tiles[first : first + COLUMNS] for first in range(0, len(tiles), COLUMNS)]
        sheet = contact_sheet([Band("", line) for line in lines])
        sheet.save(out / f"sheet-{start // PAGE + 1:02d}.png")


def _caption(entry: Entry, number: int, metadata: Metadata) -> str:
    told = {
        "none": "",
        "prompt": entry.prompt or "",
        "full": f"{entry.id[:8]} {entry.prompt or ''}",
    }[metadata]
    return f"{number}  {told}".strip()


def _height(band: Band, width: int, side: int) -> int:
    label = len(_lines(band.label, _LABEL_SIZE, width - 2 * _GAP)) * _line(_LABEL_SIZE)
    return (
        _GAP + label + side + max((_caption_height(tile, side) for tile in band.tiles), default=0)
    )


def _caption_height(tile: Tile, side: int) -> int:
    return _FRAME + len(_lines(tile.caption, _CAPTION_SIZE, side)) * _line(_CAPTION_SIZE)


def _draw_band(sheet: Image.Image, band: Band, top: int, side: int) -> None:
    top += _GAP
    label = _lines(band.label, _LABEL_SIZE, sheet.width - 2 * _GAP)
    _draw_text(sheet, label, (_GAP, top), _LABEL_SIZE, _INK)
    top += len(label) * _line(_LABEL_SIZE)
    for column, tile in enumerate(band.tiles):
        _draw_tile(sheet, tile, (_GAP + column * (side + _GAP), top), side)


def _draw_tile(sheet: Image.Image, tile: Tile, corner: tuple[int, int], side: int) -> None:
    small = _fitted(tile.image, side)
    left = corner[0] + (side - small.width) // 2
    top = corner[1] + (side - small.height) // 2
    sheet.paste(small, (left, top), small if small.mode == "RGBA" else None)
    if tile.marked:
        box = (left - _FRAME, top - _FRAME, left + small.width, top + small.height)
        outer = (box[0], box[1], box[2] + _FRAME - 1, box[3] + _FRAME - 1)
        ImageDraw.Draw(sheet).rectangle(outer, outline=_MARK, width=_FRAME)
    lines = _lines(tile.caption, _CAPTION_SIZE, side)
    place = (corner[0], corner[1] + side + _FRAME)
    _draw_text(sheet, lines, place, _CAPTION_SIZE, _MARK if tile.marked else _FAINT)


def _fitted(image: Image.Image, side: int) -> Image.Image:
    """The whole picture within a square, in its own shape; small ones grow as whole pixels."""
    scale = side / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    method = Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.NEAREST
    return image if size == image.size else image.resize(size, method)


def _draw_text(
    sheet: Image.Image, lines: Sequence[str], place: tuple[int, int], size: int, colour: str
) -> None:
    draw, font = ImageDraw.Draw(sheet), font_of(size)
    for number, line in enumerate(lines):
        draw.text((place[0], place[1] + number * _line(size)), line, fill=colour, font=font)


def _line(size: int) -> int:
    return round(size * _LEADING)


def _lines(text: str, size: int, width: int) -> list[str]:
    """The text broken between words; what is too long ends in three dots."""
    font, lines = font_of(size), [""]
    words = printable(text[:_MOST_TEXT]).split()
    for word in words:
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            if len(lines) == _MOST_LINES:
                lines[-1] = longer
                break
            lines.append(word)
        else:
            lines[-1] = longer
    return [_cut(line, font, width) for line in lines] if words else []


def _cut(line: str, font: Font, width: int) -> str:
    if font.getlength(line) <= width:
        return line
    fitting = bisect(range(len(line)), width, key=lambda n: int(font.getlength(f"{line[:n]}...")))
    return f"{line[: max(fitting - 1, 0)].rstrip()}..."
