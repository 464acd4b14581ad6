"""Format `csv`: the pictures and `metadata.csv`, one line for each.

Spreadsheets run text that begins with = + - @ as a formula; such text gets an apostrophe before it.
`jsonl` and `parquet` have every text as it is. Lists are parted by "; ".
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from index.export.rows import Row

NAME = "metadata.csv"
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write(out: Path, rows: Sequence[Row], columns: Mapping[str, str]) -> None:
    """Write the table: UTF-8, commas, a header, quotes where needed."""
    with open(out / NAME, "w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(columns)
        table.writerows([_cell(row[name]) for name in columns] for row in rows)


def _cell(value: object) -> object:
    if isinstance(value, list):
        value = "; ".join(map(str, value))
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value
