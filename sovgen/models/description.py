"""Description: what a model is, told without loading it.

Reads JSON, headers and the card; needs no torch, so a list of models is quick.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from index.hashes import published_sums, sha256_of
from sovgen.models.card import read_license
from sovgen.models.folder import read_folder
from sovgen.models.identity import (
    configuration_hash,
    model_hash,
    refuse_changed,
    refuse_changed_since,
)
from sovgen.models.kept import kept_sums
from sovgen.models.layout import Layout
from sovgen.models.lent import read_lent
from sovgen.models.progress import OnProgress, metered
from sovgen.models.single import read_file
from sovgen.models.store import Found, find_model
from sovgen.samplers import name_of


@dataclass(frozen=True)
class Description:
    """A model in words and figures.

    path: its folder or its single file
    parameters: of all its parts together; `precision` is the dtype that most are stored in
    bytes: its weight files on disk
    license: from its card or its header, None where neither says any
    text_towers: such as `CLIP text tower, 12 layers, width 768, 77 tokens`
    native_size: width and height in pixels
    sampler: the name of its own
    """

    name: str
    path: Path
    bundled: bool
    family: str
    pipeline: str
    parameters: int
    precision: str
    bytes: int
    license: str | None
    text_towers: tuple[str, ...]
    native_size: tuple[int, int]
    sampler: str


def read_layout(found: Found) -> Layout:
    """What the model is made of; raises ModelUnsupported, ModelDamaged and UnsafeWeights."""
    if not found.is_file:
        return read_folder(found.path)
    return read_lent(found.path) or read_file(found.path)


def describe_model(source: str | Path | None = None, folders: Sequence[Path] = ()) -> Description:
    """Describe the model of that name or at that path; raises as `find_model`, `read_layout` do."""
    found = find_model(source, folders)
    layout = read_layout(found)
    scheduler = layout.configs["scheduler"]
    return Description(
        name=found.name,
        path=found.path,
        bundled=found.bundled,
        family=layout.family,
        pipeline=layout.pipeline,
        parameters=sum(layout.numbers.values()),
        precision=layout.precision,
        bytes=sum(f.stat().st_size for f in {f for w in layout.weights.values() for f in w.files}),
        license=read_license(found.path),
        text_towers=tuple(_tower(layout, name) for name in layout.towers),
        native_size=layout.native_size,
        sampler=name_of(layout.parts["scheduler"], scheduler),
    )


def reread_model(
    source: str | Path | None = None, folders: Sequence[Path] = ()
) -> tuple[str, str | None]:
    """Read a model's files again; the hashes of its weights and of its configuration.

    Raises ModelDamaged when a file is truncated or differs from the model's own checksums, and
    what `read_layout` raises.
    """
    found = find_model(source, folders)
    layout = read_layout(found)
    refuse_changed(found.path, fresh=True)
    return model_hash(layout, fresh=True), configuration_hash(layout, fresh=True)


def verify_model(
    source: str | Path | None = None,
    folders: Sequence[Path] = (),
    on_progress: OnProgress = lambda done, total: None,
) -> list[str]:
    """Read every weight file again; the names of those that no sum is known of.

    on_progress: called as on_progress(bytes so far, bytes in all)
    Raises ModelDamaged when one is truncated, or differs from the model's own checksums or those
    that were kept when it was added or fetched, and what `read_layout` raises.
    """
    found = find_model(source, folders)
    layout = read_layout(found)
    # The second is a folder that lends the file its towers, as `sovgen.models.lent` says.
    paths = tuple(dict.fromkeys((found.path, layout.path)))
    known = [file for path in paths for file in _summed(path)]
    files = sorted({file for part in layout.weights.values() for file in part.files})
    unknown = [file for file in files if file.resolve() not in set(known)]
    on_read = metered([*known, *unknown], on_progress)
    for path in paths:
        refuse_changed(path, fresh=True, on_read=on_read)
        refuse_changed_since(path, on_read)
    for file in unknown:
        sha256_of(file, fresh=True, on_read=on_read)
    return [_named(file, layout.path) for file in unknown]


def _summed(path: Path) -> list[Path]:
    """The files whose sums are known, one of two sources twice, as often as they are read."""
    own = [path / name for name in published_sums(path)]
    kept = [path.parent / name for name in kept_sums(path)]
    return [file.resolve() for file in (*own, *kept)]


def _named(file: Path, folder: Path) -> str:
    return file.relative_to(folder).as_posix() if folder in file.parents else file.name


def _tower(layout: Layout, name: str) -> str:
    config = layout.configs[name]
    kind = _TOWERS.get(layout.parts[name], "CLIP text tower")
    layers = config.get("num_hidden_layers") or config.get("num_layers")
    width = config.get("hidden_size") or config.get("d_model")
    return f"{kind}, {layers} layers, width {width}, {layout.tokens[name]} tokens"


_TOWERS = {"T5EncoderModel": "T5 encoder", "Gemma2Model": "Gemma 2"}
