"""Format `jsonl`: the pictures and `metadata.jsonl`, one JSON object for each on its line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from index.export.rows import Row

NAME = "metadata.jsonl"


def write(out: Path, rows: Sequence[Row], columns: Mapping[str, str]) -> None:
    """Write the table: UTF-8, every column in every object."""
    with open(out / NAME, "w", encoding="utf-8", newline="\n") as file:
        for row in rows:
            chosen = {name: row[name] for name in columns}
            file.write(json.dumps(chosen, ensure_ascii=False) + "\n")
