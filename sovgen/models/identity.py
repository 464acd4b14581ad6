"""The model hash: what the weights amount to, whatever the folder is called.

A single file's hash begins as its sha256 does, so that it agrees with the `Model hash` of other
programs. A folder's is a sha256 over the sha256s of its parts' weight files. Digests come from
`index.hashes`, which remembers them. Knows nothing of tensors.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from index.hashes import changed_files, sha256_of
from sovgen.errors import ModelDamaged
from sovgen.models.layout import Layout

DIGITS = 16


def model_hash(layout: Layout, *, fresh: bool = False) -> str:
    """16 hex digits; `fresh` reads every weight file again, whatever is remembered."""
    if layout.is_file:
        return sha256_of(layout.path, fresh=fresh)[:DIGITS]
    lines = [
        f"{part} {sha256_of(path, fresh=fresh)}\n"
        for part in sorted(layout.weights)
        for path in layout.weights[part].files
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
