"""Enlarging in tiles: what is covered, what is blended, and that no seam is left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from sovgen.errors import BadRecipe
from sovgen.generate.generator import generate
from sovgen.generate.tiling import Box, blend, tiles
from sovgen.models.load import Model, load_model
from sovgen.picture import Picture, encode_png
from sovgen.recipe import Recipe
from tests.sovgen.scenes import disc

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:diffusers")

DISC = disc(128)
LARGER = Recipe("a red circle", seed=4, steps=10, guidance=1.0, init="disc", upscale=2.0)


@pytest.fixture(scope="module")
def mini() -> Model:
    return load_model(device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def larger(mini: Model) -> Picture:
    return draw(mini, LARGER)


def draw(model: Model, recipe: Recipe) -> Picture:
    [picture] = generate(model, [recipe], sources={"disc": DISC})
    return picture


def values(image: Image.Image) -> NDArray[np.float64]:
    return np.asarray(image.convert("RGB")).astype(float)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 24))
def test_tiles_cover_every_pixel_and_neighbours_overlap(width: int, height: int, side: int) -> None:
    size = 8 * width, 8 * height
    boxes = tiles(size, 8 * side, 8)
    covered = np.zeros((size[1], size[0]), int)
    for box in boxes:
        assert (box.right - box.left, box.bottom - box.top) == (
            min(8 * side, size[0]),
            min(8 * side, size[1]),
        )
        assert all(edge % 8 == 0 for edge in box.corners)
        covered[box.top : box.bottom, box.left : box.right] += 1
    assert covered.min() >= 1
    lefts = sorted({box.left for box in boxes})
    if side >= 3:
        assert all(b - a < 8 * side for a, b in zip(lefts, lefts[1:], strict=False))


def steps_between(image: Image.Image) -> float:
    """The greatest difference of two pixels that touch."""
    seen = values(image)
    return max(float(np.abs(np.diff(seen, axis=axis)).max()) for axis in (0, 1))


def pasted(
    size: tuple[int, int], boxes: Sequence[Box], pieces: Sequence[Image.Image]
) -> Image.Image:
    whole = Image.new("RGB", size)
    for box, piece in zip(boxes, pieces, strict=True):
        whole.paste(piece, box.corners[:2])
    return whole


def test_tiles_that_disagree_are_blended_without_a_step() -> None:
    boxes = tiles((192, 160), 96, 8)
    shades = [Image.new("RGB", (96, 96), (100 + 40 * (n % 2),) * 3) for n in range(len(boxes))]
    assert steps_between(pasted((192, 160), boxes, shades)) == 40
    assert steps_between(blend((192, 160), boxes, shades)) <= 3


def test_pieces_of_one_picture_make_that_picture() -> None:
    boxes = tiles(DISC.size, 48, 8)
    whole = blend(DISC.size, boxes, [DISC.crop(box.corners) for box in boxes])
    assert (values(whole) == values(DISC)).all()


def test_larger_picture_shows_the_same_and_no_seam(larger: Picture) -> None:
    assert larger.image.size == (256, 256)
    assert larger.recipe.strength == 0.3
    assert larger.recipe.tile == 128
    plain = DISC.resize((256, 256), Image.Resampling.LANCZOS)
    assert np.abs(values(larger.image) - values(plain)).mean() < 12
    # Across a seam pixels differ more than within tiles; where tiles begin and end, they do not.
    across = np.abs(np.diff(values(larger.image), axis=1)).mean(axis=(0, 2))
    edges = {e for box in tiles((256, 256), 128, 8) for e in (box.left, box.right)} - {0, 256}
    assert len(edges) >= 2
    for edge in edges:
        around = np.r_[across[edge - 12 : edge - 2], across[edge + 1 : edge + 11]]
        assert across[edge - 1] < 2 * around.mean() + 0.5


def test_one_recipe_is_one_picture_alone_or_with_others(mini: Model, larger: Picture) -> None:
    assert encode_png(draw(mini, larger.recipe)) == encode_png(larger)
    both = [LARGER, replace(LARGER, seed=5)]
    together = list(generate(mini, both, sources={"disc": DISC}))
    assert np.abs(values(together[0].image) - values(larger.image)).max() <= 1
    assert together[1].image.tobytes() != together[0].image.tobytes()


def test_scale_that_leaves_the_grid_goes_to_the_nearest(mini: Model) -> None:
    picture = draw(mini, replace(LARGER, upscale=1.3, strength=0.1))
    assert picture.image.size == (168, 168)


def test_black_stays_black_instead_of_being_taken_for_a_broken_picture(mini: Model) -> None:
    dark = Image.new("RGB", (128, 128))
    dark.paste(DISC.resize((40, 40)), (0, 0))
    recipe = replace(LARGER, strength=0.1, upscale=2.0)
    [picture] = generate(mini, [recipe], sources={"disc": dark})
    assert values(picture.image)[200:, 200:].mean() < 30


def test_enlarging_and_masking_at_once_is_refused(mini: Model) -> None:
    with pytest.raises(BadRecipe, match="do not go together"):
        draw(mini, replace(LARGER, mask="disc"))
