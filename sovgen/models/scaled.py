"""Scaled float8: weights that mean something only times the numbers that stand beside them.

As ComfyUI writes them (its QUANTIZATION.md): `X.weight` in float8, and `X.scale_weight` or
`X.weight_scale`, one number or one for each row. What is told of activations plays no part here,
since weights are multiplied out and computed with in the model's dtype. Knows names and numbers, no
families.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from sovgen.errors import ModelUnsupported
from sovgen.models.weights import Header

if TYPE_CHECKING:
    import torch

_SCALES = (".scale_weight", ".weight_scale")
_ASIDE = (".scale_input", ".input_scale", ".comfy_quant", "scaled_fp8")
_FLOAT8 = ("F8_E4M3", "F8_E5M2")


def is_scaled(header: Header) -> bool:
    """Whether a file holds scales beside its weights."""
    return any(name.endswith(_SCALES) for name in header.tensors)


def plain_header(path: Path, header: Header) -> Header:
    """What the file holds once its weights are multiplied out: the same without the scales.

    Raises ModelUnsupported for scales of anything but rows in float8.
    """
    for name in header.tensors:
        if name.endswith(_SCALES) and not _is_of_rows(header, name):
            raise ModelUnsupported(
                f"{path.name} holds scales that are not of float8 weights or their rows: {name}.",
                "Get the same model in float8, bfloat16 or float16.",
            )
    kept = {n: t for n, t in header.tensors.items() if not n.endswith((*_SCALES, *_ASIDE))}
    return replace(header, tensors=kept)


def read_tensors(
    path: Path, dtype: torch.dtype, wanted: Callable[[str], bool] = lambda _: True
) -> dict[str, torch.Tensor]:
    """The tensors of a file by their names; those that have scales multiplied out, as dtype."""
    from safetensors import safe_open

    read = {}
    with safe_open(path, framework="pt") as file:
        names = set(file.keys())
        for name in sorted(names):
            if wanted(name) and not name.endswith((*_SCALES, *_ASIDE)):
                tensor = file.get_tensor(name)
                scale = _scale_of(name, names)
                read[name] = _times(tensor, file.get_tensor(scale), dtype) if scale else tensor
    return read


def _is_of_rows(header: Header, scale: str) -> bool:
    weight = header.tensors.get(f"{_stem(scale)}.weight")
    if weight is None or weight.dtype not in _FLOAT8 or not weight.shape:
        return False
    shape = header.tensors[scale].shape
    return prod(shape) == 1 or (prod(shape) == shape[0] == weight.shape[0])


def _scale_of(name: str, names: Iterable[str]) -> str | None:
    if not name.endswith(".weight"):
        return None
    return next((s for end in _SCALES if (s := name.removesuffix(".weight") + end) in names), None)


def _stem(scale: str) -> str:
    return next(scale.removesuffix(end) for end in _SCALES if scale.endswith(end))


def _times(weight: torch.Tensor, scale: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """In float32, since a product in half precision would be rounded twice."""
    rows = scale.float().reshape(-1, *[1] * (weight.ndim - 1))
    return (weight.float() * rows).to(dtype)
