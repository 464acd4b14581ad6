"""Journal: what a worker meant to do and what it was told is done, apart from the library.

A worker appends one line before each operation and one after it. Folding the lines gives the two
states that a kill may leave: everything acknowledged, or that and the operation under way.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

Line = dict[str, Any]


@dataclass
class Known:
    """One picture as it should be, by its number in the tests."""

    tags: set[str] = field(default_factory=set)
    rating: int | None = None
    note: str | None = None
    caption: str | None = None
    deleted: bool = False


@dataclass
class State:
    """Pictures by number, sets with their pictures in order, searches with their words."""

    pictures: dict[int, Known] = field(default_factory=dict)
    sets: dict[str, list[int]] = field(default_factory=dict)
    hidden: set[str] = field(default_factory=set)
    searches: dict[str, str | None] = field(default_factory=dict)
    encoder: str = "given"

    def concealed(self) -> set[int]:
        """The pictures that hidden sets hold."""
        return {number for name in self.hidden for number in self.sets[name]}


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


def visible(state: State) -> State:
    """What of a state can be seen: not what was said of deleted pictures."""
    pictures = {n: Known(deleted=True) if k.deleted else k for n, k in state.pictures.items()}
    sets = {
        name: [
            n
            for n in members
            if not state.pictures[n].deleted
            and (name in state.hidden or n not in state.concealed())
        ]
        for name, members in state.sets.items()
    }
    return replace(state, pictures=pictures, sets=sets)


def _apply(state: State, line: Line) -> None:
    number, name = line.get("number", -1), line.get("set", "")
    match line["op"]:
        case "keep" | "add":
            for each in line["numbers"]:
                state.pictures.setdefault(each, Known()).deleted = False
        case "tag":
            state.pictures[number].tags.add(line["tag"])
        case "untag":
            state.pictures[number].tags.discard(line["tag"])
        case "rate":
            state.pictures[number].rating = line["rating"]
        case "note":
            state.pictures[number].note = line["note"]
        case "caption":
            state.pictures[number].caption = line["caption"]
        case "new-set":
            state.sets[name] = []
        case "delete-set":
            del state.sets[name]
            state.hidden.discard(name)
        case "hide":
            state.hidden.add(name)
        case "show":
            state.hidden.discard(name)
        case "choose":
            state.sets[name].append(number)
        case "unchoose":
            state.sets[name].remove(number)
        case "delete":
            state.pictures[number].deleted = True
        case "restore":
            state.pictures[number].deleted = False
        case "empty":
            _empty(state)
        case "merge":
            _merge(state, number, line["other"])
        case "save":
            state.searches[line["search"]] = line["text"]
        case "forget":
            del state.searches[line["search"]]
        case "encoder":
            state.encoder = line["encoder"]


def _empty(state: State) -> None:
    gone = {n for n, known in state.pictures.items() if known.deleted}
    state.pictures = {n: k for n, k in state.pictures.items() if n not in gone}
    state.sets = {
        name: [n for n in members if n not in gone] for name, members in state.sets.items()
    }


def _merge(state: State, number: int, other: int) -> None:
    kept, gone = state.pictures[number], state.pictures[other]
    kept.tags |= gone.tags
    ratings = [rating for rating in (kept.rating, gone.rating) if rating is not None]
    kept.rating = max(ratings, default=None)
    for members in state.sets.values():
        if other in members and number not in members:
            members.insert(members.index(other), number)
    gone.deleted = True
