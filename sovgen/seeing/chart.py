"""Chart: lines over a logarithmic axis, drawn with what Pillow has.

Knows numbers and their names; knows nothing of pictures or models.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

WIDTH, HEIGHT = 560, 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 24, 40, 56
_PAPER, _INK, _FAINT, _GRID = "#ffffff", "#1c1c1c", "#5f5f5f", "#e3e3e3"
_COLOURS = ("#1f6fb4", "#d1495b", "#2e8b57", "#e08e2b", "#7b4fa3", "#4f9d9d", "#8a6d3b", "#c2569b")
_TITLE_SIZE, _TEXT_SIZE, _DOT, _ROOM = 17, 12, 4, 0.08
_LEGEND_LINE = 20


@dataclass(frozen=True)
class Line:
    """Points (x, y, label) from left to right, under one name; x is above 0."""

    name: str
    points: Sequence[tuple[float, float, str]]


@dataclass(frozen=True)
class Panel:
    """Lines over common axes."""

    title: str
    x_name: str
    lines: Sequence[Line]


def chart(panels: Sequence[Panel]) -> Image.Image:
    """The panels side by side over one legend; they hold lines of the same names. RGB."""
    names = [line.name for line in panels[0].lines]
    columns = max(1, len(panels) * WIDTH // 280)
    legend = _LEGEND_LINE * -(-len(names) // columns) + 12
    page = Image.new("RGB", (WIDTH * len(panels), HEIGHT + legend), _PAPER)
    draw = ImageDraw.Draw(page)
    for number, panel in enumerate(panels):
        _Axes(draw, panel, WIDTH * number).draw_all()
    for number, name in enumerate(names):
        x, y = _LEFT + 280 * (number % columns), HEIGHT + _LEGEND_LINE * (number // columns)
        draw.rectangle((x, y + 5, x + 18, y + 9), fill=_colour(number))
        draw.text((x + 26, y), name, fill=_INK, font=_font(_TEXT_SIZE))
    return page


class _Axes:
    """One panel on the page: where its values stand in pixels."""

    def __init__(self, draw: ImageDraw.ImageDraw, panel: Panel, left: int) -> None:
        self.draw, self.panel, self.left = draw, panel, left
        points = [point for line in panel.lines for point in line.points]
        self.x_range = _widened([math.log10(x) for x, _, _ in points])
        self.y_range = _widened([y for _, y, _ in points])

    def x(self, value: float) -> float:
        low, high = self.x_range
        room = WIDTH - _LEFT - _RIGHT
        return self.left + _LEFT + room * (math.log10(value) - low) / (high - low)

    def y(self, value: float) -> float:
        low, high = self.y_range
        return HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * (value - low) / (high - low)

    def draw_all(self) -> None:
        self._draw_grid()
        self._text((self.left + _LEFT, 10), self.panel.title, _INK, _TITLE_SIZE, "la")
        middle = self.left + (WIDTH + _LEFT - _RIGHT) / 2
        self._text((middle, HEIGHT - 20), self.panel.x_name, _FAINT, _TEXT_SIZE, "mm")
        for number, line in enumerate(self.panel.lines):
            self._draw_line(line, _colour(number))

    def _draw_grid(self) -> None:
        left, right = self.left + _LEFT, self.left + WIDTH - _RIGHT
        for value in _ticks(*self.y_range):
            self.draw.line((left, self.y(value), right, self.y(value)), fill=_GRID)
            self._text((left - 8, self.y(value)), f"{value:.3g}", _FAINT, _TEXT_SIZE, "rm")
        for value in _decades(*self.x_range):
            at = self.x(value)
            self.draw.line((at, _TOP, at, HEIGHT - _BOTTOM), fill=_GRID)
            self._text((at, HEIGHT - _BOTTOM + 6), f"{value:g}", _FAINT, _TEXT_SIZE, "ma")

    def _draw_line(self, line: Line, colour: str) -> None:
        places = [(self.x(x), self.y(y)) for x, y, _ in line.points]
        self.draw.line(places, fill=colour, width=2, joint="curve")
        for (x, y), (_, _, label) in zip(places, line.points, strict=True):
            self.draw.ellipse((x - _DOT, y - _DOT, x + _DOT, y + _DOT), fill=colour)
            self._text((x, y - _DOT - 2), label, colour, _TEXT_SIZE, "mb")

    def _text(
        self, place: tuple[float, float], text: str, colour: str, size: int, anchor: str
    ) -> None:
        self.draw.text(place, text, fill=colour, font=_font(size), anchor=anchor)


def _colour(number: int) -> str:
    return _COLOURS[number % len(_COLOURS)]


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _widened(values: Sequence[float]) -> tuple[float, float]:
    """From the least to the greatest, with room on both sides."""
    low, high = min(values), max(values)
    room = (high - low) * _ROOM or 0.1
    return low - room, high + room


def _ticks(low: float, high: float) -> Iterator[float]:
    """Four to ten round values within."""
    rough = (high - low) / 5
    unit = 10 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough)
    for number in range(math.ceil(low / step), math.floor(high / step) + 1):
        yield number * step


def _decades(low: float, high: float) -> Iterator[float]:
    """1, 2 and 5 times the powers of ten whose logarithms lie within."""
    for power in range(math.floor(low), math.ceil(high) + 1):
        yield from (
            digit * 10.0**power for digit in (1, 2, 5) if low <= math.log10(digit) + power <= high
        )
