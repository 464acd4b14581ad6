"""Addition: a LoRA, an embedding, a VAE, a ControlNet or an IP-Adapter on disk, found by name.

They lie where models lie. Knows their files and checksums; knows no tensors.
"""

from __future__ import annotations

import difflib
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from index.hashes import sha256_of
from sovgen.errors import ModelMissing, ModelUnsupported, SovgenError
from sovgen.models.additions import kinds
from sovgen.models.additions.kinds import kind_of
from sovgen.models.description import read_layout
from sovgen.models.identity import DIGITS
from sovgen.models.store import Found, find_model, models_folder
from sovgen.models.upscaler import weights_of
from sovgen.models.weights import SAFE, find_weights, read_header, refuse_pickle

# A kind in words, and the option that takes it.
TITLES = {
    kinds.MODEL: ("a model", "--model"),
    kinds.LORA: ("a LoRA", "--lora"),
    kinds.EMBEDDING: ("a textual inversion", "--embedding"),
    kinds.VAE: ("a VAE", "--vae"),
    kinds.CONTROLNET: ("a ControlNet", "--control"),
    kinds.ADAPTER: ("an IP-Adapter", "--adapter"),
    kinds.UPSCALER: ("an upscaler", "--upscaler"),
}


@dataclass(frozen=True)
class Addition:
    """What changes or steers a model.

    kind: one of `kinds.KINDS`; a model is one that takes over from another
    name: of its folder, or of its file without the suffix
    path: that folder or file
    files: its weights; an IP-Adapter's own come first, its image encoder's after
    """

    kind: str
    name: str
    path: Path
    files: tuple[Path, ...]

    @cached_property
    def hash(self) -> str:
        """16 hex digits of the sha256 of its file, or over those of its files."""
        sums = [sha256_of(path) for path in self.files]
        if len(sums) == 1:
            return sums[0][:DIGITS]
        return hashlib.sha256("".join(f"{s}\n" for s in sums).encode("ascii")).hexdigest()[:DIGITS]


def find_addition(kind: str, source: str, folders: Sequence[Path] = ()) -> Addition:
    """The addition of that name or at that path.

    Raises ModelMissing with the nearest names of its kind, UnsafeWeights for a pickle,
    ModelUnsupported for what is of another kind, and ModelDamaged.
    """
    if kind in (kinds.MODEL, kinds.UPSCALER):  # pipelines of their own
        found = _whole(kind, source, folders)
        return Addition(kind, found.name, found.path, _files(kind, found.path))
    if os.sep not in source:
        for path in _named(source, folders):
            return _at(kind, path)
    path = Path(os.path.abspath(Path(source).expanduser()))
    if path.exists():
        return _at(kind, path)
    raise _missing(kind, source, folders)


def _whole(kind: str, source: str, folders: Sequence[Path]) -> Found:
    try:
        return find_model(source, folders)
    except ModelMissing as error:
        if kind != kinds.MODEL:
            raise _missing(kind, source, folders) from error
        raise ModelMissing(f"There is no refiner {source!r}.", error.hint) from error


def list_additions(folders: Sequence[Path] = ()) -> list[Addition]:
    """Every addition that has a name; what cannot be read is left out."""
    found: dict[tuple[str, str], Addition] = {}
    for path in _paths(folders):
        try:
            kind = kind_of(path)
            addition = _at(kind, path) if kind not in (None, kinds.MODEL) else None
        except SovgenError:
            continue
        if addition:
            found.setdefault((addition.kind, addition.name), addition)
    return list(found.values())


def _paths(folders: Sequence[Path]) -> Iterator[Path]:
    for folder in (models_folder(), *folders):
        yield from sorted(folder.glob("*"))


def _named(source: str, folders: Sequence[Path]) -> Iterator[Path]:
    """What bears the name, the safe files first, so that a pickle beside one is not minded."""
    named = [path for path in _paths(folders) if source in (path.name, _name(path))]
    return iter(sorted(named, key=lambda path: path.is_file() and path.suffix.lower() != SAFE))


def _name(path: Path) -> str:
    return path.name if path.is_dir() else path.stem


def _at(kind: str | None, path: Path) -> Addition:
    if path.is_file():
        refuse_pickle(path)
    found = kind_of(path)
    if found != kind or kind is None:
        what = f"{TITLES[found][0]}: give it as {TITLES[found][1]}" if found else "none of sovgen's"
        raise ModelUnsupported(
            f"{path.name} is not {TITLES[str(kind)][0]}.",
            f"It is {what}." if found else f"A {SAFE} file or a folder of diffusers' is needed.",
        )
    return Addition(kind, _name(path), path, _files(kind, path))


def _files(kind: str, path: Path) -> tuple[Path, ...]:
    """The weight files; raises ModelUnsupported when which of several is left open."""
    if kind == kinds.MODEL:
        weights = read_layout(find_model(path)).weights
        return tuple(file for part in sorted(weights) for file in weights[part].files)
    if kind == kinds.UPSCALER:
        return weights_of(path)
    if kind == kinds.ADAPTER:
        return _adapter_files(path)
    if path.is_file():
        return (path,)
    if kind == kinds.LORA:
        own = path / kinds.LORA_FILE
        return (own if own.is_file() else path / kinds.PEFT_FILE,)
    if kind == kinds.EMBEDDING:
        return (path / kinds.EMBEDDING_FILE,)
    files = find_weights(path).files
    for file in files:
        read_header(file)
    return files


def _adapter_files(path: Path) -> tuple[Path, ...]:
    folder = path if path.is_dir() else path.parent
    found = kinds.adapter_files(folder)
    chosen = found if path.is_dir() else [path]
    if not found:
        raise ModelUnsupported(
            f"Beside {path.name} lies no folder {kinds.IMAGE_ENCODER}.",
            "An IP-Adapter comes with an image encoder: put that folder next to the file.",
        )
    if len(chosen) > 1:
        raise ModelUnsupported(
            f"{path.name} holds {len(chosen)} IP-Adapters.",
            f"Give one of them: {', '.join(str(file) for file in chosen)}.",
        )
    return (*chosen, *find_weights(folder / kinds.IMAGE_ENCODER).files)


def _missing(kind: str, source: str, folders: Sequence[Path]) -> ModelMissing:
    names = [one.name for one in list_additions(folders) if one.kind == kind]
    near = difflib.get_close_matches(source, names, n=3, cutoff=0.5)
    title = TITLES[kind][0].partition(" ")[2]
    known = f"Known: {', '.join(names)}; or give" if names else "Give"
    return ModelMissing(
        f"There is no {title} {source!r}.",
        (f"Did you mean {' or '.join(near)}? " if near else "")
        + f"{known} a path. Additions with names lie in {models_folder()}.",
    )
