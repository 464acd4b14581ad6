"""Journal: what a worker meant to do and what it was told is done, apart from the library.

A worker appends one line before each operation and one after it. Folding the lines gives the two
states that a kill may leave: everything acknowledged, or that and the operation under way.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Line = dict[str, Any]


@dataclass
class Known:
    """One picture as it should be, by its number in the tests."""

    tags: set[str] = field(default_factory=set)
    rating: int | None = None
    deleted: bool = False


@dataclass
class State:
    """The pictures of one worker and the set that it fills, in its order."""

    pictures: dict[int, Known] = field(default_factory=dict)
    chosen: list[int] = field(default_factory=list)


class Journal:
    """Appends lines that outlive the process that wrote them."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, line: Line) -> None:
        os.write(self._file, json.dumps(line).encode() + b"\n")


def read(path: Path) -> tuple[list[Line], Line | None]:
    """The operations acknowledged, and the one that was under way at the end."""
    lines = [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []
    done: list[Line] = []
    under_way: Line | None = None
    for line in lines:
        if line == {"op": "done"}:
            assert under_way is not None
            done.append(under_way)
            under_way = None
        else:
            assert under_way is None
            under_way = line
    return done, under_way


def fold(lines: Iterable[Line]) -> State:
    """The state after these operations."""
    state = State()
    for line in lines:
        _apply(state, line)
    return state


def _apply(state: State, line: Line) -> None:
    number = line.get("number", -1)
    match line["op"]:
        case "keep" | "add":
            for each in line["numbers"]:
                state.pictures.setdefault(each, Known()).deleted = False
        case "tag":
            state.pictures[number].tags.add(line["tag"])
        case "rate":
            state.pictures[number].rating = line["rating"]
        case "choose":
            state.chosen.append(number)
        case "delete":
            state.pictures[number].deleted = True
        case "restore":
            state.pictures[number].deleted = False
        case "empty":
            gone = {n for n, known in state.pictures.items() if known.deleted}
            state.pictures = {n: k for n, k in state.pictures.items() if n not in gone}
            state.chosen = [n for n in state.chosen if n not in gone]
