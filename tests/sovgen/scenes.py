"""Pictures to begin from: smooth shades, and a disc on an even ground."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw


def _shades(side: int = 64) -> Image.Image:
    ramp = np.linspace(20, 235, side)
    across, down = np.meshgrid(ramp, ramp)
    return Image.fromarray(np.stack([across, down, 255 - across], -1).astype(np.uint8))


SHADES = _shades()


def disc(
    side: int = 64, ground: str = "#f4f4f0", colour: str = "#c03020", radius: float = 0.3
) -> Image.Image:
    """A disc with a smooth edge."""
    large = Image.new("RGB", (4 * side, 4 * side), ground)
    reach = (0.5 - radius) * 4 * side, (0.5 + radius) * 4 * side
    ImageDraw.Draw(large).ellipse((reach[0], reach[0], reach[1], reach[1]), fill=colour)
    return large.resize((side, side), Image.Resampling.LANCZOS)
