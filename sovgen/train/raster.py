"""Raster: drawings become pixels, by resvg. Knows nothing of names or sets."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SHOWN_ALPHA = 16


def rasterise(svg: str, side: int) -> NDArray[np.uint8] | None:
    """The drawing, whole and centred, as (side, side, 4), straight alpha; None when unreadable."""
    import resvg_py

    try:
        wide = bytes(resvg_py.svg_to_bytes(svg_string=svg, width=side))
        image = Image.open(io.BytesIO(wide)).convert("RGBA")
        if image.height > side:
            tall = bytes(resvg_py.svg_to_bytes(svg_string=svg, height=side))
            image = Image.open(io.BytesIO(tall)).convert("RGBA")
    except (ValueError, OSError):
        return None
    page = Image.new("RGBA", (side, side))
    page.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return np.asarray(page)


def ink(rgba: NDArray[np.uint8]) -> float:
    """The share of pixels of (h, w, 4) that show anything, 0 .. 1."""
    return float((rgba[..., 3] > SHOWN_ALPHA).mean())


def rasterise_all(
    svgs: Sequence[str], side: int, workers: int
) -> Iterator[NDArray[np.uint8] | None]:
    """Each in turn, over that many processes; spawned, since torch's threads forbid a fork."""
    if workers < 2:
        yield from (rasterise(svg, side) for svg in svgs)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(partial(rasterise, side=side), svgs, chunksize=32)
