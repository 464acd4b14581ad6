"""Weight files as they lie on disk: which are safe, which are whole, what tensors they name.

Reads safetensors headers and nothing else, so it is quick and needs no torch. A pickle can run any
program when it is opened; such files are refused by name, never opened.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path, PurePath

from sovgen.errors import ModelDamaged, UnsafeWeights

PICKLES = (".ckpt", ".bin", ".pt", ".pth", ".pkl", ".pickle")
SAFE = ".safetensors"
_LFS_POINTER = b"version https://git-lfs"
_PART_OF_MANY = re.compile(r"-\d{5}-of-\d{5}$")
_PRECISIONS = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F8_E4M3": "float8",
    "F8_E5M2": "float8",
}


@dataclass(frozen=True)
class Tensor:
    """A stored tensor's dtype, as safetensors names it, and its shape."""

    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Header:
    """What a safetensors file says of itself: its tensors by name, and free text."""

    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]

    @cached_property
    def numbers(self) -> int:
        """How many numbers are stored in it."""
        return sum(prod(tensor.shape) for tensor in self.tensors.values())


@dataclass(frozen=True)
class Weights:
    """The weight files of one part of a model; `variant` is diffusers' word, such as fp16."""

    files: tuple[Path, ...]
    variant: str | None = None


def read_header(path: Path) -> Header:
    """Read a safetensors header, whose promised length must be the file's.

    Raises ModelDamaged when the file is truncated, damaged or no safetensors file at all, and
    UnsafeWeights when it is a pickle by its name.
    """
    refuse_pickle(path)
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}
            tensors = {n: Tensor(s.get_dtype(), tuple(s.get_shape())) for n, s in slices.items()}
            return Header(tensors, file.metadata() or {})
    except OSError as error:
        raise ModelDamaged(f"{path.name} cannot be read: {error.strerror}.") from error
    except SafetensorError as error:
        raise ModelDamaged(*_damage(path, error)) from error


def refuse_pickle(path: Path) -> None:
    """Raise UnsafeWeights when the file is a pickle by its name."""
    if path.suffix.lower() in PICKLES:
        raise UnsafeWeights(
            f"{path.name} is a pickle: opening it could run any program that is hidden in it.",
            "Get the same model as .safetensors, or convert it where nothing can be lost: "
            "`python -m safetensors.convert` or diffusers' save_pretrained(safe_serialization=True)"
            " inside a container.",
        )


def find_weights(folder: Path) -> Weights:
    """The weight files of one part of a diffusers folder; the plain variant is preferred.

    Raises UnsafeWeights when it holds only pickles, ModelDamaged when it holds nothing.
    """
    found: dict[str | None, list[Path]] = {}
    for path in sorted(folder.glob(f"*{SAFE}")):
        found.setdefault(variant_of(path), []).append(path)
    if found:
        variant = None if None in found else min(found, key=str)
        return Weights(tuple(found[variant]), variant)
    for path in sorted(folder.glob("*")):
        refuse_pickle(path)
    raise ModelDamaged(
        f"{folder.parent.name} holds no weights for its {folder.name}.",
        "The download stopped half-way, or the part was left out: get the whole folder again.",
    )


def precision(headers: Iterable[Header]) -> str:
    """The dtype in which most numbers of the files are stored."""
    counts: dict[str, int] = {}
    for header in headers:
        for tensor in header.tensors.values():
            counts[tensor.dtype] = counts.get(tensor.dtype, 0) + prod(tensor.shape)
    most = max(counts, key=lambda dtype: counts[dtype], default="")
    return _PRECISIONS.get(most, most.lower())


def variant_of(path: PurePath) -> str | None:
    """`model.fp16.safetensors` and `model.fp16-00001-of-00002.safetensors` are variant fp16."""
    _, dot, variant = _PART_OF_MANY.sub("", path.stem).partition(".")
    return variant if dot else None


def _damage(path: Path, error: Exception) -> tuple[str, str]:
    with path.open("rb") as file:
        start = file.read(len(_LFS_POINTER))
    if start == _LFS_POINTER:
        return (
            f"{path.name} is a Git LFS pointer, not the weights themselves.",
            "Run `git lfs pull` in that folder, or download the file itself.",
        )
    return (
        f"{path.name} is truncated or damaged: {error}.",
        "Download it again and compare its sha256 with the one published.",
    )
