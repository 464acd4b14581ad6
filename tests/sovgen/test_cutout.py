"""Transparent grounds: what is taken away, how soft the edge is, and when nothing is."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from sovgen.generate.cutout import cut_out
from tests.sovgen.scenes import SHADES, disc


def cut(image: Image.Image) -> NDArray[np.float64]:
    found = cut_out(image)
    assert found is not None and found.mode == "RGBA"
    return np.asarray(found).astype(float)


@pytest.mark.parametrize("ground", ["#f4f4f0", "#101018", "#40b060"])
def test_disc_laid_on_another_ground_is_the_disc_drawn_on_it(ground: str) -> None:
    cutting = Image.fromarray(cut(disc(128, ground)).astype(np.uint8))
    for other in ("#000000", "#ffffff", "#2040ff"):
        laid = Image.alpha_composite(Image.new("RGBA", (128, 128), other), cutting)
        wanted = disc(128, other)
        apart = np.abs(np.asarray(laid.convert("RGB"), float) - np.asarray(wanted, float))
        # no fringe: where the two colours meet, the old ground shows nowhere
        assert apart.max() <= 24
        assert apart.mean() < 0.5


def test_edge_is_soft_and_the_rest_is_all_or_nothing() -> None:
    alpha = cut(disc(128))[..., 3]
    soft = (alpha > 0) & (alpha < 255)
    assert 0 < soft.mean() < 0.1
    assert alpha[64, 64] == 255 and alpha[0, 0] == 0


def test_grainy_ground_goes_and_what_it_encloses_stays() -> None:
    scene = disc(128)
    ImageDraw.Draw(scene).ellipse((54, 54, 74, 74), fill="#f4f4f0")
    grain = np.random.default_rng(3).normal(0, 3, (128, 128, 3))
    noisy = Image.fromarray((np.asarray(scene) + grain).clip(0, 255).astype(np.uint8))
    alpha = cut(noisy)[..., 3]
    assert (alpha[:8] == 0).mean() > 0.99
    assert alpha[64, 64] == 255


def test_ground_is_followed_round_corners() -> None:
    maze = Image.new("RGB", (64, 64), "white")
    pen = ImageDraw.Draw(maze)
    pen.line([(20, 0), (20, 50), (40, 50), (40, 14), (30, 14), (30, 40)], fill="black", width=3)
    alpha = cut(maze)[..., 3]
    assert alpha[20, 25] == 0 and alpha[20, 35] == 0


@pytest.mark.parametrize(
    "image",
    [SHADES, Image.new("RGB", (64, 64), "red"), disc(64, radius=0.7)],
    ids=["shades", "nothing but ground", "ground in the corners alone"],
)
def test_without_an_even_ground_nothing_is_taken_away(image: Image.Image) -> None:
    assert cut_out(image) is None
