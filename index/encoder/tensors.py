"""Weights as they lie in a safetensors file, mapped into memory and read without torch.

Knows formats of numbers; knows nothing of what a tensor is for.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from index.encoder import float8
from index.errors import EncoderDamaged

if TYPE_CHECKING:
    import torch

# numpy has no bfloat16: its 16 bits are the upper half of a float32 and stand as integers here.
# Neither has it numbers of eight bits.
_STORED = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "<i1",
    "U8": "<u1",
    **dict.fromkeys(float8.MANTISSA, "<u1"),
    "BOOL": "?",
}
# Bits behind the leading one: what decides which of two formats holds less.
_PRECISION = {"F64": 52, "F32": 23, "F16": 10, "BF16": 7, **float8.MANTISSA}
_EIGHT = {"F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2"}
_TORCH = {"float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16"}
_TORCH |= {theirs: ours for ours, theirs in _EIGHT.items()}
_BLOCK = 1 << 20


@dataclass(frozen=True, eq=False)
class Tensor:
    """A view of stored numbers; nothing is read or copied until its values are asked for.

    pages: the mapped file that the numbers lie in, if they do
    """

    array: NDArray[Any]
    dtype: str
    pages: mmap.mmap | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The dimensions."""
        return self.array.shape

    @property
    def is_float(self) -> bool:
        """Whether these are weights and not counters or indices."""
        return self.dtype in _PRECISION

    def __getitem__(self, rows: slice) -> Tensor:
        """A range of rows, as a view."""
        return replace(self, array=self.array[rows])

    def rows(self, numbers: NDArray[np.int64]) -> NDArray[np.float32]:
        """The values of the numbered rows; no other row is read."""
        return Tensor(self.array[numbers], self.dtype).float32()

    @property
    def transposed(self) -> Tensor:
        """The same numbers with rows as columns."""
        return replace(self, array=self.array.T)

    def float32(self) -> NDArray[np.float32]:
        """The values; without a copy when they are stored so."""
        if self.dtype == "BF16":
            return (self.array.astype(np.uint32) << 16).view(np.float32)
        if self.dtype in float8.MANTISSA:
            return float8.decoded(self.array, self.dtype)
        return self.array.astype(np.float32, copy=False)

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """The values, flat and in order, some megabytes at a time."""
        flat = self.array.reshape(-1)
        for start in range(0, flat.size, _BLOCK):
            yield replace(self, array=flat[start : start + _BLOCK]).float32()

    def forget(self) -> None:
        """Give back the memory of mapped numbers; they are in the file when they are next needed.

        Only for what nobody writes to.
        """
        if self.pages is None or not hasattr(mmap, "MADV_DONTNEED"):
            return
        start = self.array.ctypes.data - np.frombuffer(self.pages, np.uint8).ctypes.data
        page = start // mmap.PAGESIZE * mmap.PAGESIZE
        self.pages.madvise(mmap.MADV_DONTNEED, page, start + self.array.nbytes - page)

    def rounded_to(self, dtype: str) -> NDArray[Any]:
        """The values in another format, as bits that can be compared (to nearest, ties to even)."""
        if dtype == self.dtype:
            return self.array
        if dtype in float8.MANTISSA:
            return float8.encoded(self.float32(), dtype)
        if dtype != "BF16":
            with np.errstate(over="ignore"):
                return self.float32().astype(_STORED[dtype])
        bits = np.ascontiguousarray(self.float32()).view(np.uint32)
        return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def narrower(one: str, other: str) -> str:
    """Whichever of two float formats tells fewer numbers apart."""
    return min(one, other, key=_PRECISION.__getitem__)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Every tensor of a safetensors file, mapped; the file is checked and not yet read.

    Raises:
        EncoderDamaged: the file is truncated, is no safetensors, or holds an unknown format.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np"):  # the library's own check of the header
            pass
        return _mapped(path)
    except (SafetensorError, OSError, KeyError) as error:
        raise EncoderDamaged(
            f"{path.parent.name}/{path.name} cannot be read as weights: {_reason(error)}.",
            "The file is truncated or damaged; copy it again from where it came from.",
        ) from error


def torch_tensors(state: Mapping[str, torch.Tensor]) -> dict[str, Tensor]:
    """Weights of a loaded module, sharing its memory when they lie in the machine's own."""
    return {name: _shared(tensor) for name, tensor in state.items() if _is_weight(tensor)}


def to_torch(tensor: Tensor) -> torch.Tensor:
    """The tensor for torch, sharing its memory."""
    import torch

    if tensor.dtype == "BF16":
        return torch.from_numpy(tensor.array.view(np.int16)).view(torch.bfloat16)
    if tensor.dtype in float8.MANTISSA:
        return torch.from_numpy(tensor.array).view(getattr(torch, _EIGHT[tensor.dtype]))
    return torch.from_numpy(tensor.array)


def _mapped(path: Path) -> dict[str, Tensor]:
    with path.open("rb") as file:
        # Copy on write: torch takes no read-only memory, and nobody writes.
        pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    start = 8 + int.from_bytes(pages[:8], "little")
    header = json.loads(pages[8:start])
    header.pop("__metadata__", None)
    return {name: _view(pages, start, entry) for name, entry in header.items()}


def _view(pages: mmap.mmap, start: int, entry: dict[str, Any]) -> Tensor:
    begin, end = entry["data_offsets"]
    data = np.frombuffer(pages, np.uint8, end - begin, start + begin)
    array = data.view(_STORED[entry["dtype"]])
    return Tensor(array.reshape(entry["shape"]), entry["dtype"], pages)


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"the number format {error.args[0]} is not known"
    return str(error).removeprefix("Error while deserializing header: ")


def _is_weight(tensor: torch.Tensor) -> bool:
    return tensor.dtype.is_floating_point and str(tensor.dtype).split(".")[-1] in _TORCH


def _shared(tensor: torch.Tensor) -> Tensor:
    import torch

    dtype = _TORCH[str(tensor.dtype).split(".")[-1]]
    here = tensor.detach().cpu()
    if dtype == "BF16":
        return Tensor(here.view(torch.int16).numpy().view(np.uint16), dtype)
    if dtype in float8.MANTISSA:
        return Tensor(here.view(torch.uint8).numpy(), dtype)
    return Tensor(here.numpy(), dtype)
