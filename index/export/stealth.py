"""Text that programs hide in the lowest bits of a picture's pixels, and pictures without it.

Several generators write their settings a second time into the lowest bit of alpha, or of red, green
and blue, column by column, behind a signature, so that they survive a host that drops metadata.
They survive stripping just as well, so an export without a prompt has to look for them.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

SIGNATURES = (b"stealth_pnginfo", b"stealth_pngcomp", b"stealth_rgbinfo", b"stealth_rgbcomp")
_BITS = len(SIGNATURES[0]) * 8


def hides_text(image: Image.Image) -> bool:
    """Whether the lowest bits of an RGB or RGBA image begin with a signature."""
    columns = -(-_BITS // image.height)
    corner = np.asarray(image.crop((0, 0, min(columns, image.width), image.height)))
    pixels = corner.transpose(1, 0, 2).reshape(-1, corner.shape[2])
    layers = [pixels[:, :3]] if image.mode == "RGB" else [pixels[:, :3], pixels[:, 3:]]
    found = (np.packbits(layer.ravel()[:_BITS] & 1).tobytes() for layer in layers)
    return any(bits in SIGNATURES for bits in found)


def without_hidden_text(image: Image.Image) -> Image.Image:
    """The image with every lowest bit level: colours lose it, alpha is rounded up to opaque."""
    values = np.array(image)
    values[..., :3] &= 0xFE
    values[..., 3:] |= 1
    clean = Image.fromarray(values)
    opaque = clean.mode == "RGBA" and bool((values[..., 3] == 255).all())
    return clean.convert("RGB") if opaque else clean
