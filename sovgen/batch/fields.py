"""Fields: what a plan may say of a recipe, by name and type, whatever fields a Recipe has.

`size` stands for width and height together.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import get_type_hints

from sovgen.errors import BadPlan
from sovgen.recipe import Recipe

SIZE = "size"
# Fields that may name a place on disk, which a plan means from its own folder.
_PLACES = ("model", "vae", "upscaler", "refiner", "control", "adapter")
_TRUTHS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@cache
def types() -> Mapping[str, object]:
    """Every field of a Recipe with its type."""
    hints = get_type_hints(Recipe)
    return {field.name: hints[field.name] for field in dataclasses.fields(Recipe)}


def known(name: str, where: str, also: tuple[str, ...] = ()) -> str:
    """The name itself. Raises BadPlan, with the nearest one, when it is none."""
    names = (*types(), SIZE, *also)
    if name in names:
        return name
    near = difflib.get_close_matches(name, names, 1)
    hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(names)}."
    raise BadPlan(f"{where}: there is no field {name!r}.", hint)


def from_cell(name: str, cell: str, where: str) -> object:
    """The value that a cell's text is; a field of several takes them parted by semicolons."""
    if name == "prompt":
        return cell
    text, kind = cell.strip(), str(types().get(name, str))
    try:
        if "tuple" in kind:
            return tuple(part.strip() for part in text.split(";") if part.strip())
        if "bool" in kind:
            return _TRUTHS[text.lower()]
        if "int" in kind:
            return int(text)
        return float(text) if "float" in kind else cell
    except (ValueError, KeyError):
        wanted = kind.removesuffix(" | None")
        raise BadPlan(f"{where}: {name} is {cell!r}, not {wanted}.", _typed(kind)) from None


def _typed(kind: str) -> str:
    return "Write true or false." if "bool" in kind else "Write a number, or nothing."


def settled(values: Mapping[str, object], folder: Path) -> dict[str, object]:
    """The values as a Recipe takes them: lists as tuples, `size` as two fields, whole paths.

    folder: that of the plan, from which relative paths are meant
    """
    found = {n: tuple(v) if isinstance(v, list) else v for n, v in values.items() if n != SIZE}
    for name, value in found.items():
        if type(value) is int and "float" in str(types().get(name)):
            found[name] = float(value)  # so that 7 and 7.0 are one job
    for name in _PLACES:
        value = found.get(name)
        if isinstance(value, str) and (os.sep in value or value.startswith("~")):
            found[name] = os.path.normpath(folder.absolute() / Path(value).expanduser())
    return found | (_sides(values[SIZE]) if SIZE in values else {})


def _sides(size: object) -> dict[str, object]:
    width, _, height = str(size).lower().partition("x")
    if not (width.strip().isdecimal() and height.strip().isdecimal()):
        raise BadPlan(f"{size!r} is not a size.", "Write it as 512x512.")
    return {"width": int(width), "height": int(height)}
