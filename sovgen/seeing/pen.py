"""Pen: strokes, marks and words on a page, drawn large and made small, so that edges are smooth.

Knows the pixels of the finished page; knows nothing of what they mean.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from PIL import Image, ImageDraw

from index.export.lettering import font_of, printable

Place = tuple[float, float]
Box = tuple[float, float, float, float]
_FINE = 3
# Drawn and left out in turn, in pixels; () is a whole line.
STROKES: tuple[tuple[int, ...], ...] = ((), (14, 7), (3, 5), (16, 5, 3, 5))
# Corners of a mark around 0; () is a disc.
MARKS: tuple[tuple[Place, ...], ...] = (
    (),
    ((-1, -1), (1, -1), (1, 1), (-1, 1)),
    ((0, -1.3), (1.2, 0.9), (-1.2, 0.9)),
    ((0, -1.4), (1.4, 0), (0, 1.4), (-1.4, 0)),
)
_HALO = 2.5


class Pen:
    """A page that is drawn on in its own pixels."""

    def __init__(self, width: int, height: int, paper: str) -> None:
        self._page = Image.new("RGB", (width * _FINE, height * _FINE), paper)
        self._draw = ImageDraw.Draw(self._page)
        self._paper = paper

    def finished(self) -> Image.Image:
        """The page in its own size."""
        size = (self._page.width // _FINE, self._page.height // _FINE)
        return self._page.resize(size, Image.Resampling.LANCZOS)

    def line(self, places: Sequence[Place], colour: str, width: float, stroke: int = 0) -> None:
        """From place to place, in one of `STROKES`."""
        pattern = STROKES[stroke % len(STROKES)]
        for piece in _dashes(places, pattern) if pattern else [places]:
            fine = [_fine(place) for place in piece]
            self._draw.line(fine, colour, round(width * _FINE), "curve")

    def mark(self, place: Place, size: float, colour: str, kind: int = 0) -> None:
        """One of `MARKS`, so many pixels from its middle to its edge."""
        corners = MARKS[kind % len(MARKS)]
        x, y = place
        if corners:
            outline = [_fine((x + size * across, y + size * down)) for across, down in corners]
            self._draw.polygon(outline, fill=colour)
        else:
            self._draw.ellipse((_fine((x - size, y - size)), _fine((x + size, y + size))), colour)

    def text(
        self, place: Place, words: str, colour: str, size: int, anchor: str, halo: bool = False
    ) -> None:
        """Words, with a rim of paper around them where they stand on lines."""
        rim = round(_HALO * _FINE) if halo else 0
        self._draw.text(
            _fine(place),
            printable(words),
            fill=colour,
            font=font_of(size * _FINE),
            anchor=anchor,
            stroke_width=rim,
            stroke_fill=self._paper,
        )

    def box(self, place: Place, words: str, size: int, anchor: str) -> Box:
        """What such words cover."""
        font = font_of(size * _FINE)
        found = self._draw.textbbox(_fine(place), printable(words), font=font, anchor=anchor)
        left, top, right, bottom = (edge / _FINE for edge in found)
        return left, top, right, bottom


def _fine(place: Place) -> Place:
    return place[0] * _FINE, place[1] * _FINE


def _dashes(places: Sequence[Place], pattern: Sequence[int]) -> Iterator[list[Place]]:
    """The pieces of a line that are drawn; the pattern goes on around corners."""
    turn, left = 0, float(pattern[0])
    for start, end in zip(places, places[1:], strict=False):
        length, gone = math.dist(start, end), 0.0
        while gone < length:
            reach = min(left, length - gone)
            if turn % 2 == 0:
                yield [_along(start, end, at / length) for at in (gone, gone + reach)]
            gone, left = gone + reach, left - reach
            if left <= 0:
                turn += 1
                left = float(pattern[turn % len(pattern)])


def _along(start: Place, end: Place, share: float) -> Place:
    return start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1])
