"""Wanted: which files of a repository are a model, and which are left where they are.

Safetensors, and the texts that say how to read them; never a pickle. Knows names and sizes; knows
nothing of the network.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from sovgen.errors import ModelUnsupported, UnsafeWeights
from sovgen.models.weights import PICKLES, SAFE, variant_of

INDEX = "model_index.json"
_TEXTS = (".json", ".txt", ".model")
_ABOUT = ("README.md", "LICENSE.md", "LICENSE.txt", "LICENSE")


@dataclass(frozen=True)
class Remote:
    """A file of a repository.

    sha256: of its content, for the large ones; git: the sha1 that git gives a small one
    """

    name: str
    size: int
    sha256: str | None
    git: str | None


def wanted_files(
    repo: str, files: Iterable[Remote], index: Mapping[str, Any] | None
) -> list[Remote]:
    """The files to fetch, the small ones first.

    index: the repository's model_index.json; None where it has none, and is one safetensors file
    Raises UnsafeWeights when a part is only there as a pickle, ModelUnsupported when there is no
    model, or no single one.
    """
    by_name = {file.name: file for file in files}
    names = _of_folder(repo, by_name, index) if index is not None else _of_file(repo, by_name)
    about = [name for name in _ABOUT if name in by_name]
    return sorted((by_name[name] for name in {*names, *about}), key=lambda file: file.size)


def _of_folder(repo: str, files: Mapping[str, Remote], index: Mapping[str, Any]) -> list[str]:
    parts = [name for name, pair in index.items() if isinstance(pair, list) and pair[0]]
    names = [INDEX]
    for part in parts:
        inside = [name for name in files if PurePosixPath(name).parent.as_posix() == part]
        names += [name for name in inside if name.endswith(_TEXTS)]
        names += _one_variant([name for name in inside if name.endswith(SAFE)])
        if not any(name.endswith(SAFE) for name in inside):
            _refuse_pickles(repo, inside)
    return names


def _of_file(repo: str, files: Mapping[str, Remote]) -> list[str]:
    single = [name for name in files if name.endswith(SAFE)]
    if not single:
        _refuse_pickles(repo, files)
    if len(single) != 1:
        what = f"{len(single)} {SAFE} files" if single else f"no {SAFE} file"
        raise ModelUnsupported(
            f"{repo} has no {INDEX} and {what}: no model that could be told.",
            "Name the repository of a diffusers folder, or one of a single file.",
        )
    return single


def _one_variant(names: list[str]) -> list[str]:
    """The plain weights where there are some, else those of the first variant."""
    variants = {name: variant_of(PurePosixPath(name)) for name in names}
    chosen = None if None in variants.values() else min(filter(None, variants.values()), default="")
    return [name for name, variant in variants.items() if variant == chosen]


def _refuse_pickles(repo: str, names: Iterable[str]) -> None:
    pickles = [name for name in names if name.lower().endswith(PICKLES)]
    if pickles:
        raise UnsafeWeights(
            f"{repo} has its weights only as pickles ({pickles[0]}): opening one could run any "
            "program that is hidden in it.",
            "Look for the same model as safetensors.",
        )
