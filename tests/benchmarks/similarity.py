"""SSIM: how alike two pictures are in structure, 1 for equal ones.

After Wang et al. 2004 (doi:10.1109/TIP.2003.819861), with their Gaussian window of 11 pixels and
their constants, on brightness alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SIDE, _SIGMA = 11, 1.5
_STEADY = ((0.01 * 255) ** 2, (0.03 * 255) ** 2)
_BRIGHTNESS = (0.299, 0.587, 0.114)


def ssim(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """The mean over pictures of shape (n, height, width, 3), values 0 .. 255."""
    import torch

    offsets = torch.arange(_SIDE, dtype=torch.float64) - _SIDE // 2
    line = torch.exp(-(offsets**2) / (2 * _SIGMA**2))
    window = (torch.outer(line, line) / line.sum() ** 2)[None, None]
    shade = torch.tensor(_BRIGHTNESS, dtype=torch.float64)
    a, b = ((torch.from_numpy(pixels) @ shade)[:, None] for pixels in (one, other))

    def mean(values: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.conv2d(values, window)

    over, under = mean(a), mean(b)
    spread = mean(a * a) - over**2 + mean(b * b) - under**2
    shared = mean(a * b) - over * under
    light = (2 * over * under + _STEADY[0]) / (over**2 + under**2 + _STEADY[0])
    return float((light * (2 * shared + _STEADY[1]) / (spread + _STEADY[1])).mean())
