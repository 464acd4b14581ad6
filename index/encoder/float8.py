"""Numbers of eight bits, as diffusion checkpoints are stored to be small: E4M3 and E5M2.

numpy has neither; here they are bytes and a table of what each byte means. Both are as torch's
float8_e4m3fn and float8_e5m2 (Micikevicius et al., 2209.05433). Knows nothing of files.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

# Bits behind the leading one, by safetensors' name of the format.
MANTISSA = {"F8_E4M3": 3, "F8_E5M2": 2}


def decoded(bits: NDArray[np.uint8], dtype: str) -> NDArray[np.float32]:
    """What the bytes mean."""
    return _table(dtype)[bits]


def encoded(values: NDArray[np.float32], dtype: str) -> NDArray[np.uint8]:
    """The nearest bytes, ties to even; what is beyond the largest becomes the largest."""
    positive = _table(dtype)[:128]
    finite = positive[np.isfinite(positive)]
    between = (finite[:-1] + finite[1:]) / 2
    size = np.abs(values)
    below, above = (np.searchsorted(between, size, side) for side in ("left", "right"))
    code = np.where(below % 2 == 0, below, above)
    code = np.where(np.isnan(values), 127, code).astype(np.uint8)
    return np.where(np.signbit(values), code | 128, code).astype(np.uint8)


@cache
def _table(dtype: str) -> NDArray[np.float32]:
    """The value of every byte."""
    bits, code = MANTISSA[dtype], np.arange(128)
    exponent, rest = code >> bits, (code & ((1 << bits) - 1)) / (1 << bits)
    bias = (1 << (6 - bits)) - 1
    normal = exponent > 0
    values = np.ldexp(rest + normal, np.where(normal, exponent, 1) - bias)
    if dtype == "F8_E5M2":
        values[code >= 0x7C] = np.nan
        values[0x7C] = np.inf
    values[127] = np.nan
    return np.concatenate([values, -values]).astype(np.float32)
