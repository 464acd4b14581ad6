"""Examples: a person's own pictures with captions, to fine-tune on.

Pictures of any size and shape are put into buckets: sizes of about the model's own area, on its
grid, so that nothing is squashed and little is cut off. Knows nothing of libraries.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from sovgen.errors import BadDataset

WIDEST = 2.5  # width by height, or height by width, of the longest bucket


@dataclass(frozen=True)
class Example:
    """A picture's file and what it shows; the caption may be empty."""

    path: Path
    caption: str


@dataclass(frozen=True)
class Prepared:
    """A picture at its bucket's size, (3, h, w), -1 .. 1, and its caption."""

    pixels: Tensor
    caption: str


def prepare_examples(
    examples: Sequence[Example], area: int, grid: int, word: str, on_notice: Callable[[str], None]
) -> list[Prepared]:
    """Every readable picture at its bucket's size; `word` begins or stands for the caption.

    Raises BadDataset when there is none or none that can be read, and when there is neither a
    caption nor a word.
    """
    if not examples:
        raise BadDataset("The set holds no picture.", "Put some in: sovgen set add NAME ID...")
    if not word and not any(e.caption.strip() for e in examples):
        raise BadDataset(
            "No picture of the set has a caption.",
            "Say with --word what they are to be called, or give them one: sovgen caption ID TEXT.",
        )
    sizes = buckets(area, grid)
    prepared = []
    for example in examples:
        try:
            prepared.append(_prepare(example, sizes, word))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            on_notice(f"Left out, unreadable: {example.path.name} ({error}).")
    if not prepared:
        raise BadDataset(
            f"None of the {len(examples)} pictures can be read.", "Choose another set."
        )
    if len(prepared) == 1:
        on_notice("Only one picture: the LoRA will know this one and little else.")
    return prepared


def buckets(area: int, grid: int) -> list[tuple[int, int]]:
    """Sizes (width, height) of at most `area` pixels, both multiples of `grid`."""
    sizes = set()
    for width in range(grid, int((area * WIDEST) ** 0.5) + 1, grid):
        height = area // width // grid * grid
        if height and max(width / height, height / width) <= WIDEST:
            sizes |= {(width, height), (height, width)}
    return sorted(sizes)


def nearest_bucket(width: int, height: int, sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """The size closest in shape; of equals, the largest."""
    shape = np.log(width / height)
    return min(sizes, key=lambda s: (round(abs(np.log(s[0] / s[1]) - shape), 6), -s[0] * s[1]))


def _prepare(example: Example, sizes: Sequence[tuple[int, int]], word: str) -> Prepared:
    with Image.open(example.path) as opened:
        opened.load()
        upright = ImageOps.exif_transpose(opened)
    rgba = upright.convert("RGBA")
    white = Image.new("RGBA", rgba.size, "white")
    rgb = Image.alpha_composite(white, rgba).convert("RGB")
    fitted = ImageOps.fit(rgb, nearest_bucket(*rgb.size, sizes), Image.Resampling.LANCZOS)
    pixels = torch.from_numpy(np.asarray(fitted).copy()).permute(2, 0, 1).float() / 127.5 - 1
    caption = ", ".join(part for part in (example.caption.strip(), word) if part)
    return Prepared(pixels, caption)
