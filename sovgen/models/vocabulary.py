"""Vocabulary: where a single file's T5 gets its tokenizer.

Such files hold a T5's weights without its vocabulary. All T5 towers of SD 3, FLUX.1 and PixArt read
the same one, so that any diffusers folder near the file, or among the person's models, lends it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from sovgen.models.store import models_folder


def find_t5_vocabulary(beside: Path) -> Path | None:
    """The folder of a T5's tokenizer in a folder beside the file or among the models, or None."""
    for root in (beside.parent, models_folder()):
        for folder in _folders(root):
            if _is_t5(folder):
                return folder
    return None


def _folders(root: Path) -> Iterator[Path]:
    yield from sorted(path.parent for path in root.glob("*/tokenizer_config.json"))
    yield from sorted(path.parent for path in root.glob("*/tokenizer*/tokenizer_config.json"))


def _is_t5(folder: Path) -> bool:
    try:
        config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and str(config.get("tokenizer_class", "")).startswith("T5")
