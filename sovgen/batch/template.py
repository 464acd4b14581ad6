"""Template: a prompt with choices in it, counted before it is written out.

    {a|b|c}             one of them
    {2$$a|b|c}          two different ones, in every order, joined by ","
    {1-2$$ and $$a|b}   one or two, joined by " and "
    __animal__          a line of the wildcard file `animal.txt`

The syntax is that of the Dynamic Prompts extension. Choices stand inside each other; a backslash
before `{`, `}`, `|` or `_` makes plain text of it. Knows nothing of where wildcards come from.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sovgen.errors import BadPlan

Wildcards = Callable[[str], Sequence[str]]

_TOKEN = re.compile(r"\\(?P<plain>[{}|_])|__(?P<name>[^\W_](?:[\w/-]*?[^\W_])?)__|(?P<sign>[{}|])")
_COUNTED = re.compile(r"(\d+)(?:-(\d+))?\$\$(?:([^{}|]*?)\$\$)?")
_WEIGHT = re.compile(r"\s*\d*\.?\d+::")
# What a choice of several may choose from, and how deep wildcards may name each other.
_MOST_OPTIONS = 10_000
_DEEPEST = 20


@dataclass(frozen=True)
class Template:
    """A prompt of parts that follow each other; part by part, text or choices."""

    parts: tuple[str | Choice | Several, ...]

    @property
    def count(self) -> int:
        """How many prompts it stands for."""
        return math.prod(1 if isinstance(p, str) else p.count for p in self.parts)

    def at(self, index: int) -> str:
        """The prompt of that number, 0 .. count - 1; the last choice changes first."""
        words: list[str] = []
        for part in reversed(self.parts):
            if isinstance(part, str):
                words.append(part)
            else:
                index, own = divmod(index, part.count)
                words.append(part.at(own))
        return "".join(reversed(words))


@dataclass(frozen=True)
class Choice:
    """One of several templates."""

    options: tuple[Template, ...]

    @property
    def count(self) -> int:
        """The options' prompts together."""
        return sum(option.count for option in self.options)

    def at(self, index: int) -> str:
        """The text of that number."""
        for option in self.options:
            if index < option.count:
                return option.at(index)
            index -= option.count
        raise IndexError(index)


@dataclass(frozen=True)
class Several:
    """`low` to `high` different ones of the texts, in every order."""

    texts: tuple[str, ...]
    low: int
    high: int
    joiner: str

    @property
    def count(self) -> int:
        """The arrangements of every size together."""
        return sum(math.perm(len(self.texts), size) for size in range(self.low, self.high + 1))

    def at(self, index: int) -> str:
        """The arrangement of that number."""
        size = self.low
        while index >= (own := math.perm(len(self.texts), size)):
            index, size = index - own, size + 1
        left, chosen = list(self.texts), list[str]()
        for place in range(size):
            which, index = divmod(index, math.perm(len(left) - 1, size - place - 1))
            chosen.append(left.pop(which))
        return self.joiner.join(chosen)


def parse(text: str, wildcards: Wildcards) -> Template:
    """The template that a text is.

    wildcards: gives the lines of a wildcard by its name
    Raises BadPlan for a brace without its other half, and for a choice that cannot be made.
    """
    if not _TOKEN.search(text):
        return Template((text,))
    return _Reader(text, wildcards, 0).whole()


class _Reader:
    """One pass over one text, by recursive descent."""

    def __init__(self, text: str, wildcards: Wildcards, depth: int) -> None:
        self.text, self.wildcards, self.depth, self.at = text, wildcards, depth, 0

    def whole(self) -> Template:
        template = self._sequence(inside=False)
        if self.at < len(self.text):
            raise BadPlan(f"A brace is closed that was not opened: {self.text!r}.", _ESCAPED)
        return template

    def _sequence(self, inside: bool) -> Template:
        """Parts up to the end, or to the sign that ends an option."""
        parts: list[str | Choice | Several] = []
        while found := _TOKEN.search(self.text, self.at):
            parts.append(self.text[self.at : found.start()])
            sign = found["sign"]
            if sign == "}" or (sign == "|" and inside):
                self.at = found.start()
                return Template(tuple(p for p in parts if p))
            self.at = found.end()
            if sign == "{":
                parts.append(self._choice())
            else:
                parts.append(self._wildcard(found["name"]) if found["name"] else found[0][-1])
        parts.append(self.text[self.at :])
        self.at = len(self.text)
        return Template(tuple(p for p in parts if p))

    def _choice(self) -> Choice | Several:
        """What stands between braces; the opening one has been read."""
        counted = _COUNTED.match(self.text, self.at)
        if counted:
            self.at = counted.end()
        options = [self._option()]
        while self.text[self.at : self.at + 1] == "|":
            self.at += 1
            options.append(self._option())
        if self.text[self.at : self.at + 1] != "}":
            raise BadPlan(f"A brace is opened and not closed: {self.text!r}.", _ESCAPED)
        self.at += 1
        return _several(options, counted, self.text) if counted else Choice(tuple(options))

    def _option(self) -> Template:
        if _WEIGHT.match(self.text, self.at):
            raise BadPlan(
                f"A choice has a weight: {self.text!r}.", "Leave it out: every choice is drawn."
            )
        return self._sequence(inside=True)

    def _wildcard(self, name: str) -> Choice:
        if self.depth == _DEEPEST:
            raise BadPlan(f"The wildcard __{name}__ names itself.", "Break the circle.")
        lines = self.wildcards(name)
        readers = (_Reader(line, self.wildcards, self.depth + 1) for line in lines)
        return Choice(tuple(reader.whole() for reader in readers))


_ESCAPED = "Write \\{ or \\} for a brace that is meant as one."


def _several(options: Sequence[Template], counted: re.Match[str], text: str) -> Several:
    if sum(option.count for option in options) > _MOST_OPTIONS:
        raise BadPlan(f"There are more than {_MOST_OPTIONS:,} texts to choose from: {text!r}.")
    texts = tuple(dict.fromkeys(o.at(n) for o in options for n in range(o.count)))
    low = int(counted[1])
    high = int(counted[2] or low)
    if not low <= high <= len(texts):
        raise BadPlan(
            f"{counted[0]} asks for more than the {len(texts)} texts there are, or for none: "
            f"{text!r}."
        )
    return Several(texts, low, high, "," if counted[3] is None else counted[3])
