"""The model hash: what the weights amount to, whatever the folder is called.

A single file's hash begins as its sha256 does, so that it agrees with the `Model hash` of other
programs. A folder's is a sha256 over the sha256s of its parts' weight files. Digests come from
`index.hashes`, which remembers them. Knows nothing of tensors.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from index.hashes import changed_files, sha256_of
from sovgen.errors import ModelDamaged
from sovgen.models.weights import Weights

DIGITS = 16


def hash_file(path: Path, *, fresh: bool = False) -> str:
    """16 hex digits of a single file's sha256; `fresh` reads it again."""
    return sha256_of(path, fresh=fresh)[:DIGITS]


def hash_folder(weights: Mapping[str, Weights], *, fresh: bool = False) -> str:
    """16 hex digits over the weight files of every part, in the order of the parts' names."""
    lines = [
        f"{part} {sha256_of(path, fresh=fresh)}\n"
        for part in sorted(weights)
        for path in weights[part].files
    ]
    return hashlib.sha256("".join(lines).encode("ascii")).hexdigest()[:DIGITS]


def refuse_changed(folder: Path, *, fresh: bool = False) -> None:
    """Raise ModelDamaged when a file differs from the folder's own SHA256SUMS."""
    changed = changed_files(folder, fresh=fresh)
    if changed:
        raise ModelDamaged(
            f"{folder.name} differs from its checksums in {', '.join(changed)}.",
            "Its files were damaged or changed: install or download it again.",
        )
