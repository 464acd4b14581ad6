"""Room: how much memory a device has free, and what of a model fits into it.

Arithmetic over sizes; loads nothing, and knows nothing of recipes.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

_PARTS = ("unet", "transformer", "vae", "text_encoder", "text_encoder_2", "text_encoder_3")
# What the weights leave to everything else on a device.
_SHARE = 0.8


def free_bytes(device: str) -> int | None:
    """Memory that is free on a device now; None where nobody tells."""
    import torch

    kind = device.partition(":")[0]
    if kind == "cpu":
        return _free_here()
    if kind in ("cuda", "xpu"):
        free, _ = getattr(torch, kind).mem_get_info(torch.device(device))
        return int(free)
    return None


def total_bytes() -> int:
    """Memory of this machine, free or not; of a container the whole machine's."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def weight_bytes(pipe: Any) -> int:  # noqa: ANN401 - a diffusers pipeline
    """What all parts of a pipeline weigh together."""
    parts: list[nn.Module] = [p for p in (getattr(pipe, n, None) for n in _PARTS) if p is not None]
    return sum(p.nbytes for part in parts for p in part.parameters())


def must_move(weights: int, free: int | None) -> bool:
    """Whether weights are too large to stand on a device all at once, so that parts take turns."""
    return free is not None and weights > _SHARE * free


def decoding_bytes(config: Any, width: int, height: int, size: int) -> int:  # noqa: ANN401
    """What decoding one picture takes at its peak, about: the widest layers at full resolution.

    config: the autoencoder's; size: bytes of one number
    """
    channels = list(getattr(config, "block_out_channels", None) or [128])
    widest = int(channels[0] + channels[min(1, len(channels) - 1)])
    return 2 * widest * width * height * size


def _free_here() -> int | None:
    """As Linux tells it: what could be had without swapping."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            lines = dict(line.split(":", 1) for line in file)
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None
