"""The manifest of an export: every file with its checksum, and no time, path, host or user."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from index.export.rows import Metadata, Row

NAME = "manifest.json"
VERSION = 1


def write(out: Path, format: str, metadata: Metadata, pictures: Sequence[Row]) -> None:
    """Write `manifest.json` about all files in a folder.

    pictures: what is told of each picture, for a format that has no table of its own
    """
    told = {
        "sovgen_export": VERSION,
        "format": format,
        "metadata": metadata,
        "files": [_file(path) for path in sorted(out.iterdir())],
    }
    if pictures:
        told["pictures"] = list(pictures)
    text = json.dumps(told, ensure_ascii=False, indent=1)
    (out / NAME).write_text(text + "\n", encoding="utf-8")


def _file(path: Path) -> dict[str, object]:
    data = path.read_bytes()
    return {"name": path.name, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
