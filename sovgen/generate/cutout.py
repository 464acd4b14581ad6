"""Cutting out: the even ground of a flat picture becomes transparent.

Ground is what is connected to the picture's edge and has the colour that most of the edge has.
Along the border each pixel is taken for a mixture of ground and what stands before it: its share is
the alpha, and the ground's part is taken out of its colour, so that no fringe is left. Knows
nothing of models.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    Colours = NDArray[np.float32]
    Bits = NDArray[np.bool_]

# Distances between colours, of at most 441. A ground is even when half the edge lies this near to
# one colour; what is as far apart as its own grain, or as the least of these, is ground.
_GATHERED = 28.0
_EVEN = 0.5
_GRAIN = (14.0, 36.0)
# Around it, what is up to so many times as far apart may be mixed with it.
_HALO = 4.0
# A ground of less than this share of the picture is none, and more leaves no picture.
_LEAST, _MOST = 0.02, 0.98


def cut_out(image: Image.Image) -> Image.Image | None:
    """An RGB picture without its ground, as RGBA; None where it has no even ground."""
    import numpy as np
    from PIL import Image

    colours = np.asarray(image.convert("RGB"), dtype=np.float32)
    found = _ground_colour(colours)
    if found is None:
        return None
    colour, grain = found
    apart = _apart(colours, colour)
    ground = _reached(apart <= grain)
    if not _LEAST <= ground.mean() <= _MOST:
        return None
    reach = 2 + min(image.size) // 256
    halo = _reached(apart <= _HALO * grain) & _widened(ground, 3 * reach)
    mixed = (halo | _widened(ground, reach)) & ~ground
    alpha, cleaned = _unmixed(colours, colour, ground, mixed, 3 * reach)
    pixels = np.dstack([cleaned, alpha * 255]).round().clip(0, 255).astype(np.uint8)
    return Image.fromarray(pixels)


def _apart(colours: Colours, colour: Colours) -> Colours:
    import numpy as np

    return np.asarray(np.sqrt(((colours - colour) ** 2).sum(-1)), np.float32)


def _ground_colour(colours: Colours) -> tuple[Colours, float] | None:
    """The colour of most of the edge, and how far from it the ground goes."""
    import numpy as np

    width = max(1, min(colours.shape[:2]) // 64)
    inner = np.zeros(colours.shape[:2], bool)
    inner[width:-width, width:-width] = True
    edge = colours[~inner]
    coarse = (edge // 16).astype(np.int64) @ np.array([256, 16, 1])
    values, counts = np.unique(coarse, return_counts=True)
    colour = np.median(edge[coarse == values[counts.argmax()]], axis=0)
    near = _apart(edge, colour) <= _GATHERED
    if near.mean() < _EVEN:
        return None
    colour = np.median(edge[near], axis=0).astype(np.float32)
    grain = 1.5 * float(np.percentile(_apart(edge[near], colour), 95))
    return colour, float(np.clip(grain, *_GRAIN))


def _reached(passable: Bits) -> Bits:
    """What can be walked to from the edge, in straight lines along rows and columns."""
    import numpy as np

    reached = np.zeros_like(passable)
    reached[[0, -1]], reached[:, [0, -1]] = passable[[0, -1]], passable[:, [0, -1]]
    while True:
        wider = _along_rows(_along_rows(reached, passable).T, passable.T).T
        if (wider == reached).all():
            return wider
        reached = wider


def _along_rows(reached: Bits, passable: Bits) -> Bits:
    """Every unbroken run of a row that holds something reached."""
    import numpy as np

    begins = passable.copy()
    begins[:, 1:] &= ~passable[:, :-1]
    runs = np.cumsum(begins.ravel()).reshape(passable.shape)
    is_reached = np.bincount(runs[reached], minlength=int(runs[-1, -1]) + 1) > 0
    return passable & is_reached[runs]


def _unmixed(
    colours: Colours, colour: Colours, ground: Bits, mixed: Bits, reach: int
) -> tuple[Colours, Colours]:
    """Alpha, 0 to 1, and the colours without the ground's part in them."""
    import numpy as np

    before = ~(ground | mixed)
    front = _mean_around(colours, before, reach)
    known = front[..., 3] > 0
    full = np.where(known[..., None], front[..., :3], colours)
    line = full - colour
    share = ((colours - colour) * line).sum(-1) / np.maximum((line**2).sum(-1), 1e-6)
    alone = np.clip(_apart(colours, colour) / _GRAIN[1] - 0.5, 0, 1)
    alpha = np.where(ground, 0, np.where(before, 1, np.where(known, share, alone))).clip(0, 1)
    unmixed = (colours - (1 - alpha[..., None]) * colour) / np.maximum(alpha[..., None], 1e-3)
    cleaned = np.where(alpha[..., None] > 0.2, unmixed, full)
    cleaned[ground & ~known] = 0
    return alpha.astype(np.float32), cleaned.clip(0, 255).astype(np.float32)


def _widened(bits: Bits, reach: int) -> Bits:
    return _sums_around(bits[..., None], reach)[..., 0] > 0.5


def _mean_around(colours: Colours, of: Bits, reach: int) -> Colours:
    """Mean colour of the chosen pixels within reach of each, and how many there are."""
    import numpy as np

    sums = _sums_around(np.dstack([colours * of[..., None], of]), reach)
    many = np.round(sums[..., 3:])
    return np.dstack([sums[..., :3] / np.maximum(many, 1), many]).astype(np.float32)


def _sums_around(values: NDArray[Any], reach: int) -> NDArray[np.float64]:
    """Of each of the planes (h, w, n), the sum over the square around every pixel."""
    import numpy as np

    sums = values.astype(np.float64)
    side = 2 * reach + 1
    for axis in (0, 1):
        wide = [(reach + 1, reach) if a == axis else (0, 0) for a in range(3)]
        sums = np.pad(sums, wide).cumsum(axis)
        count = sums.shape[axis]
        sums = sums.take(range(side, count), axis) - sums.take(range(count - side), axis)
    return sums
