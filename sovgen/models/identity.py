"""What a model amounts to, whatever the folder is called: its weights, and its configuration.

A single file's hash begins as its sha256 does, so that it agrees with the `Model hash` of other
programs. A folder's is a sha256 over the sha256s of its parts' weight files; what its texts say has
a sum of its own, so that this hash stays the one that other makings name. Digests come from
`index.hashes`, which remembers them. Knows nothing of tensors.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from index.hashes import OnRead, changed_files, sha256_of
from sovgen.errors import ModelDamaged
from sovgen.models.folder import INDEX, read_json
from sovgen.models.kept import kept_sums
from sovgen.models.layout import Layout
from sovgen.models.wanted import TEXTS

DIGITS = 16
# Who wrote a configuration and where it lay; it draws the same whatever they say.
_ASIDE = frozenset("_diffusers_version transformers_version _name_or_path name_or_path".split())
# Is in the layout, as the configurations of the other parts are.
_READ = "tokenizer_config.json"


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


def configuration_hash(layout: Layout, *, fresh: bool = False) -> str | None:
    """16 hex digits of what configurations and tokenizers say; `fresh` as in `model_hash`.

    None for a single file: what it draws by follows from its weights.
    """
    if layout.is_file:
        return None
    configs = {INDEX: read_json(layout.path / INDEX), **layout.configs}
    told = {name: _told(config) for name, config in configs.items()}
    lines = [json.dumps(told, sort_keys=True)]
    lines += [f"{name} {sha256_of(path, fresh=fresh)}" for name, path in _vocabularies(layout)]
    return hashlib.sha256("\n".join(lines).encode("utf-8")).hexdigest()[:DIGITS]


def _told(config: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in config.items() if key not in _ASIDE}


def _vocabularies(layout: Layout) -> Iterator[tuple[str, Path]]:
    """The texts of the tokenizers, as PART/NAME, in the order of their names."""
    for part in sorted(name for name in layout.parts if name.startswith("tokenizer")):
        for path in sorted((layout.path / part).iterdir()):
            if path.suffix in TEXTS and path.name != _READ:
                yield f"{part}/{path.name}", path


def refuse_changed(
    folder: Path, *, fresh: bool = False, on_read: OnRead = lambda read: None
) -> None:
    """Raise ModelDamaged when a file differs from the folder's own SHA256SUMS."""
    changed = changed_files(folder, fresh=fresh, on_read=on_read)
    if changed:
        raise ModelDamaged(
            f"{folder.name} differs from its checksums in {', '.join(changed)}.",
            "Its files were damaged or changed: install or download it again.",
        )


def refuse_changed_since(path: Path, on_read: OnRead = lambda read: None) -> None:
    """Raise ModelDamaged when a weight file, read again, is not what was added or fetched."""
    changed = changed_files(path.parent, sums=kept_sums(path), fresh=True, on_read=on_read)
    if changed:
        raise ModelDamaged(
            f"{path.stem if path.is_file() else path.name} is not what was added or fetched; "
            f"another file is now {', '.join(changed)}.",
            "It was damaged or changed: remove it, then fetch or add it again.",
        )
