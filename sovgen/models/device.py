"""On what and in which number format a model computes, and why.

Knows the machine; knows nothing of models. torch is imported when a function is called.
"""

from __future__ import annotations

from dataclasses import dataclass

from index.processor import bfloat16_by
from sovgen.errors import BadRecipe, DeviceMissing

DEVICES = ("cuda", "mps", "xpu", "cpu")
DTYPES = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class Place:
    """Where a model computes: a device, a dtype of `DTYPES`, and a sentence that says why."""

    device: str
    dtype: str
    reason: str


def choose_place(device: str | None = None, dtype: str | None = None) -> Place:
    """The device and dtype asked for, or the best of this machine.

    Raises DeviceMissing when the device is not in the machine, BadRecipe for an unknown dtype or
    one that the device cannot compute with.
    """
    device = _choose_device(device)
    if dtype is None:
        return Place(device, *_best_dtype(device))
    if dtype not in DTYPES:
        raise BadRecipe(f"There is no dtype {dtype!r}.", f"Choose one of {', '.join(DTYPES)}.")
    if device == "cpu" and dtype == "float16":
        raise BadRecipe(
            "A CPU computes in float16 only by way of float32, which is slow.",
            "Choose bfloat16 or float32.",
        )
    return Place(device, dtype, "asked for")


def _choose_device(asked: str | None) -> str:
    """A device of this machine, with its number if one was given (`cuda:1`)."""
    present = [name for name in DEVICES if _is_present(name)]
    if asked is None:
        return present[0]
    kind, _, number = asked.partition(":")
    if kind not in DEVICES:
        raise DeviceMissing(f"There is no device {asked!r}.", f"Known: {', '.join(DEVICES)}.")
    if kind not in present or (number and not _has_number(kind, number)):
        raise DeviceMissing(
            f"This machine has no {asked} that torch can use.", f"It has {', '.join(present)}."
        )
    return asked


def _is_present(kind: str) -> bool:
    import torch

    if kind == "cpu":
        return True
    part = torch.backends.mps if kind == "mps" else getattr(torch, kind)
    return bool(part.is_available())


def _has_number(kind: str, number: str) -> bool:
    import torch

    count = getattr(torch, kind).device_count() if kind in ("cuda", "xpu") else 1
    return number.isdecimal() and int(number) < count


def _best_dtype(device: str) -> tuple[str, str]:
    import torch

    if device == "cpu":
        return _best_cpu_dtype()
    if device.startswith("cuda"):
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return "bfloat16", "this GPU computes in bfloat16, whose range float16 lacks"
        return "float16", "this GPU has float16 and no bfloat16"
    if device.startswith("xpu"):
        return "bfloat16", "this GPU computes in bfloat16"
    return "float16", "half the memory of float32 on this GPU"


def _best_cpu_dtype() -> tuple[str, str]:
    instructions = bfloat16_by()
    if instructions:
        return "bfloat16", f"this CPU computes in bfloat16 ({instructions})"
    return "float32", "this CPU has no instructions for bfloat16 (AVX512_BF16 or AMX)"
