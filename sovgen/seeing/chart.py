"""Chart: lines over a logarithmic axis, drawn with what Pillow has.

Knows numbers and their names; knows nothing of pictures or models.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from PIL import Image

from sovgen.seeing.pen import Box, Pen, Place

WIDTH, HEIGHT = 840, 570
_LEFT, _RIGHT, _TOP, _BOTTOM = 92, 36, 60, 80
_PAPER, _INK, _FAINT, _GRID = "#ffffff", "#1c1c1c", "#5f5f5f", "#e3e3e3"
_COLOURS = ("#1f6fb4", "#d1495b", "#2e8b57", "#e08e2b", "#7b4fa3", "#4f9d9d", "#8a6d3b", "#c2569b")
_TITLE_SIZE, _TEXT_SIZE, _DOT, _ROOM = 24, 18, 6, 0.08
_LEGEND_WIDTH, _LEGEND_LINE, _KEY = 400, 30, 54
_STROKE = 2.5
# Where a point's name may stand: to where from the point, and which of its own edges is there.
_SIDES = ((0, -1, "mb"), (0, 1, "mt"), (1, -1, "lb"), (-1, -1, "rb"), (1, 1, "lt"), (-1, 1, "rt"))


@dataclass(frozen=True)
class Line:
    """Points (x, y, label) from left to right, under one name; x is above 0.

    colour, stroke: numbers; lines that have something in common have the same
    """

    name: str
    points: Sequence[tuple[float, float, str]]
    colour: int = 0
    stroke: int = 0


@dataclass(frozen=True)
class Panel:
    """Lines over common axes."""

    title: str
    x_name: str
    lines: Sequence[Line]


def chart(panels: Sequence[Panel], foot: str = "") -> Image.Image:
    """The panels side by side over one legend; they hold lines of the same names. RGB.

    foot: what is written below all
    """
    lines = panels[0].lines
    columns = max(1, (len(panels) * WIDTH - _LEFT) // _LEGEND_WIDTH)
    legend = HEIGHT + _LEGEND_LINE * -(-len(lines) // columns) + 12
    pen = Pen(WIDTH * len(panels), legend + (_LEGEND_LINE + 8 if foot else 0), _PAPER)
    for number, panel in enumerate(panels):
        _Axes(pen, panel, WIDTH * number).draw_all()
    for number, line in enumerate(lines):
        row, column = divmod(number, columns)
        _draw_key(pen, line, (_LEFT + _LEGEND_WIDTH * column, HEIGHT + _LEGEND_LINE * (row + 0.5)))
    pen.text((_LEFT, legend + 6), foot, _FAINT, _TEXT_SIZE, "la")
    return pen.finished()


def _draw_key(pen: Pen, line: Line, place: Place) -> None:
    x, y = place
    pen.line([(x, y), (x + _KEY, y)], _colour(line), _STROKE, line.stroke)
    pen.mark((x + _KEY / 2, y), _DOT, _colour(line), line.stroke)
    pen.text((x + _KEY + 12, y), line.name, _INK, _TEXT_SIZE, "lm")


class _Axes:
    """One panel on the page: where its values stand in pixels."""

    def __init__(self, pen: Pen, panel: Panel, left: int) -> None:
        self.pen, self.panel, self.left = pen, panel, left
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
        self.pen.text((self.left + _LEFT, 16), self.panel.title, _INK, _TITLE_SIZE, "la")
        middle = self.left + (WIDTH + _LEFT - _RIGHT) / 2
        self.pen.text((middle, HEIGHT - 28), self.panel.x_name, _FAINT, _TEXT_SIZE, "mm")
        for line in self.panel.lines:
            places = self._places(line)
            self.pen.line(places, _colour(line), _STROKE, line.stroke)
            for place in places:
                self.pen.mark(place, _DOT, _colour(line), line.stroke)
        self._draw_labels()

    def _draw_grid(self) -> None:
        left, right = self.left + _LEFT, self.left + WIDTH - _RIGHT
        for value in _ticks(*self.y_range):
            self.pen.line([(left, self.y(value)), (right, self.y(value))], _GRID, 1)
            self.pen.text((left - 10, self.y(value)), f"{value:.3g}", _FAINT, _TEXT_SIZE, "rm")
        for value in _decades(*self.x_range):
            at = self.x(value)
            self.pen.line([(at, _TOP), (at, HEIGHT - _BOTTOM)], _GRID, 1)
            self.pen.text((at, HEIGHT - _BOTTOM + 8), f"{value:g}", _FAINT, _TEXT_SIZE, "ma")

    def _places(self, line: Line) -> list[Place]:
        return [(self.x(x), self.y(y)) for x, y, _ in line.points]

    def _draw_labels(self) -> None:
        """Where there is room beside a point; a name on another could not be read, and is left
        out."""
        taken = [_around(place) for line in self.panel.lines for place in self._places(line)]
        for line in self.panel.lines:
            for place, (_, _, label) in zip(self._places(line), line.points, strict=True):
                for across, down, anchor in _SIDES:
                    at = (place[0] + across * _DOT, place[1] + down * (_DOT + 4))
                    box = self.pen.box(at, label, _TEXT_SIZE, anchor)
                    if not any(_overlap(box, other) for other in taken):
                        self.pen.text(at, label, _colour(line), _TEXT_SIZE, anchor, halo=True)
                        taken.append(box)
                        break


def _around(place: Place) -> Box:
    return place[0] - _DOT, place[1] - _DOT, place[0] + _DOT, place[1] + _DOT


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _colour(line: Line) -> str:
    return _COLOURS[line.colour % len(_COLOURS)]


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
