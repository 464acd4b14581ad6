"""Pictures and people that tests borrow."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image


def noise(width: int = 24, height: int = 16, mode: str = "RGB", seed: int = 1) -> Image.Image:
    bands = len(Image.new(mode, (1, 1)).getbands())
    values = np.random.default_rng(seed).integers(0, 255, (height, width, bands), dtype=np.uint8)
    return Image.fromarray(values if bands > 1 else values[..., 0])


def saved(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


@contextmanager
def nobody() -> Iterator[None]:
    """File permissions bind everybody but root: be nobody for a moment when we are root."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
