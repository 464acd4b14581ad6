"""Reading: prompts and their settings from text, CSV and JSON lines, row by row.

Knows files and rows; what a field of a recipe is, `sovgen.batch.fields` knows.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from sovgen.batch.fields import from_cell, known
from sovgen.errors import BadPlan

Row = tuple[str, Mapping[str, object]]
"""Where a row stands, and the fields that it gives."""

KINDS = (".txt", ".csv", ".jsonl")
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"))
_ENCODINGS = (*_MARKS, (codecs.BOM_UTF16_BE, "utf-16"))
# How files of PNG, JPEG, GIF, WebP and TIFF begin.
_PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"II*\0", b"MM\0*")
PLANS = f"A plan is TOML; prompts alone may be {', '.join(KINDS)}."
# Python's own splitlines() ends a line at characters that may stand inside a text, as U+2028.
_LINE = re.compile(r"\r?\n")


def read_rows(path: Path) -> Iterator[Row]:
    """Every row of a `.txt`, `.csv` or `.jsonl` file. Raises BadPlan, naming the line."""
    readers = {".txt": _texts, ".csv": _table, ".jsonl": _objects}
    if path.suffix.lower() not in readers:
        raise BadPlan(f"{path} is no file of prompts.", f"Known: {', '.join(KINDS)}.")
    yield from readers[path.suffix.lower()](path)


def read_text(path: Path) -> str:
    """The text of a file in UTF-8, or in whatever its byte order mark says. Raises BadPlan."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadPlan(f"{path} cannot be read: {error.strerror}.", "Check the path.") from error
    if data.startswith(_PICTURES):
        raise BadPlan(f"{path} is a picture, not a plan.", PLANS)
    encoding = next((name for mark, name in _ENCODINGS if data.startswith(mark)), "utf-8")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BadPlan(f"{path}, line {line}, is not UTF-8.", "Save it as UTF-8.") from error


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """The lines that say something, with their numbers; `#` opens a line of comment."""
    for number, line in enumerate(_LINE.split(read_text(path)), 1):
        text = line.strip()
        if text and not text.startswith("#"):
            yield number, text


def _texts(path: Path) -> Iterator[Row]:
    for number, text in lines_of(path):
        yield f"{path.name}, line {number}", {"prompt": text}


def _table(path: Path) -> Iterator[Row]:
    reader = csv.reader(io.StringIO(read_text(path), newline="\n"), strict=True)
    names: list[str] = []
    try:
        for cells in reader:
            where = f"{path.name}, line {reader.line_num}"
            if not any(cell.strip() for cell in cells):
                continue
            if not names:
                names = _header(cells, where)
            elif len(cells) > len(names):
                raise BadPlan(f"{where}: {len(cells)} cells under {len(names)} names.", _QUOTED)
            else:
                yield where, _given(names, cells, where)
    except csv.Error as error:
        raise BadPlan(f"{path.name}, line {reader.line_num}: {error}.", _QUOTED) from error


_QUOTED = 'Write a cell that holds a comma as "one, two".'


def _header(cells: list[str], where: str) -> list[str]:
    names = [cell.strip().lower() for cell in cells]
    if "prompt" not in names:
        raise BadPlan(f"{where} names no column `prompt`.", "The first line names the columns.")
    _refuse_twice(names, where)
    return [known(name, where) for name in names]


def _given(names: list[str], cells: list[str], where: str) -> dict[str, object]:
    pairs = zip(names, cells, strict=False)  # a short line leaves the last columns out
    return {n: from_cell(n, c, where) for n, c in pairs if c.strip() or n == "prompt"}


def _objects(path: Path) -> Iterator[Row]:
    for number, line in enumerate(_LINE.split(read_text(path)), 1):
        where = f"{path.name}, line {number}"
        if not line.strip():
            continue
        value = _value(line, where)
        if isinstance(value, str):
            value = {"prompt": value}
        if not isinstance(value, dict):
            raise BadPlan(f"{where}, is no object.", 'Write {"prompt": "a red fox"}.')
        yield where, {known(name, where): given for name, given in value.items()}


def _value(line: str, where: str) -> object:
    def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
        _refuse_twice([name for name, _ in pairs], where)
        return dict(pairs)

    try:
        return json.loads(line, object_pairs_hook=once)
    except ValueError as error:
        # where it stands in the line only: JSON's own words have another number of a line
        is_syntax = isinstance(error, json.JSONDecodeError)
        why = f"{error.msg}, column {error.colno}" if is_syntax else str(error)  # type: ignore[attr-defined]
        raise BadPlan(f"{where}, is not JSON: {why}.", "Write one object a line.") from error


def _refuse_twice(names: list[str], where: str) -> None:
    """Raises BadPlan: which of the two values is meant, nobody can tell."""
    for name in names:
        if names.count(name) > 1:
            raise BadPlan(f"{where} names {name!r} twice.", "Leave one of them out.")
