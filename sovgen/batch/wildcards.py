"""Wildcards: text files whose lines stand for `__name__`, one choice a line.

`__animals/cat__` is `animals/cat.txt` beside the plan, in a folder `wildcards` beside the plan, or
in the folder `wildcards` beside the config file; the first one found holds. Knows no templates.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from sovgen.batch.reading import lines_of
from sovgen.batch.template import Wildcards
from sovgen.errors import BadPlan


def wildcards_beside(plan: Path, config: Path) -> Wildcards:
    """The wildcards that a plan can name; each file is read once.

    plan, config: the files that they lie beside
    """
    folders = (plan.parent, plan.parent / "wildcards", config.parent / "wildcards")

    @cache
    def wildcard(name: str) -> Sequence[str]:
        for folder in folders:
            path = folder / f"{name}.txt"
            if path.is_file():
                return _choices(path)
        raise _missing(name, folders)

    return wildcard


def _choices(path: Path) -> Sequence[str]:
    lines = tuple(dict.fromkeys(text for _, text in lines_of(path)))
    if not lines:
        raise BadPlan(f"The wildcard file {path} is empty.", "Write one choice a line.")
    return lines


def _missing(name: str, folders: Sequence[Path]) -> BadPlan:
    known = {
        path.relative_to(folder).with_suffix("").as_posix()
        for folder in folders
        for path in folder.glob("**/*.txt" if folder.name == "wildcards" else "*.txt")
    }
    near = difflib.get_close_matches(name, known, 1)
    advice = f"Did you mean __{near[0]}__?" if near else f"Write {folders[1] / name}.txt."
    plain = f"As plain text it is \\__{name}__."
    return BadPlan(f"There is no wildcard __{name}__.", f"{advice} {plain}")
