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
TEXTS = (".json", ".txt", ".model")
_MOST_LISTED = 12
ABOUT = ("README.md", "LICENSE.md", "LICENSE.txt", "LICENSE")


@dataclass(frozen=True)
class Remote:
    """A file of a repository.

    sha256: of its content, for the large ones; git: the sha1 that git gives a small one
    """

    name: str
    size: int
    sha256: str | None
    git: str | None


@dataclass(frozen=True)
class Choice:
    """Which of several: a single file of a repository, or diffusers' variant, such as fp16."""

    file: str | None = None
    variant: str | None = None


ANY = Choice()


def wanted_files(
    repo: str,
    files: Iterable[Remote],
    index: Mapping[str, Any] | None,
    choice: Choice = ANY,
) -> list[Remote]:
    """The files to fetch, the small ones first.

    index: the repository's model_index.json; None where it has none, and is one safetensors file
    Raises UnsafeWeights when a part is only there as a pickle, ModelUnsupported when there is no
    model, or no single one.
    """
    by_name = {file.name: file for file in files}
    if index is not None:
        names = _of_folder(repo, by_name, index, choice.variant)
    else:
        names = _of_file(repo, by_name, choice.file)
    about = [name for name in ABOUT if name in by_name]
    return sorted((by_name[name] for name in {*names, *about}), key=lambda file: file.size)


def _of_folder(
    repo: str, files: Mapping[str, Remote], index: Mapping[str, Any], variant: str | None
) -> list[str]:
    parts = [
        name
        for name, pair in index.items()
        if isinstance(pair, list) and pair[:1] not in ([], [None])
    ]
    names = [INDEX]
    for part in parts:
        inside = [name for name in files if PurePosixPath(name).parent.as_posix() == part]
        names += [name for name in inside if name.endswith(TEXTS)]
        names += _one_variant([name for name in inside if name.endswith(SAFE)], variant)
        if not any(name.endswith(SAFE) for name in inside):
            _refuse_pickles(repo, inside)
    if variant and not any(variant_of(PurePosixPath(name)) == variant for name in names):
        found = {variant_of(PurePosixPath(name)) for name in files if name.endswith(SAFE)}
        known = ", ".join(sorted(filter(None, found)))
        raise ModelUnsupported(
            f"{repo} has no variant {variant}.",
            f"It has {known}." if known else "Leave --variant out.",
        )
    return names


def _of_file(repo: str, files: Mapping[str, Remote], chosen: str | None) -> list[str]:
    if chosen is not None:
        return [_chosen(repo, files, chosen)]
    single = [name for name in files if name.endswith(SAFE)]
    if not single:
        _refuse_pickles(repo, files)
    if not single:
        raise ModelUnsupported(
            f"{repo} has no {INDEX} and no {SAFE} file: no model that could be told.",
            "Name the repository of a diffusers folder, or one of a single file.",
        )
    if len(single) > 1:
        raise ModelUnsupported(
            f"{repo} has no {INDEX} and {len(single)} {SAFE} files.",
            f"Choose one by --file: {_listed(single)}.",
        )
    return single


def _chosen(repo: str, files: Mapping[str, Remote], name: str) -> str:
    if name not in files:
        single = [other for other in files if other.endswith(SAFE)]
        hint = f"It has {_listed(single)}." if single else f"It has no {SAFE} file."
        raise ModelUnsupported(f"{repo} has no file {name!r}.", hint)
    _refuse_pickles(repo, [name])
    if not name.endswith(SAFE):
        raise ModelUnsupported(f"{name} is no {SAFE} file.", "Choose one that is.")
    return name


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_LISTED} more" if len(names) > _MOST_LISTED else ""
    return ", ".join(sorted(names)[:_MOST_LISTED]) + more


def _one_variant(names: list[str], wanted: str | None) -> list[str]:
    """The variant that is wanted, or else the plain weights, or else those of the first variant.

    A part without that variant comes as diffusers takes it then: plain.
    """
    variants = {name: variant_of(PurePosixPath(name)) for name in names}
    if wanted in variants.values():
        return [name for name, variant in variants.items() if variant == wanted]
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
