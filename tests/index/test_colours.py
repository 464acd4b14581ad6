"""Colours by name: what a person would say of the picture, and the same each time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from index.colours import PALETTE, Colour, dominant_colours, to_lab
from tests.index.samples import noise


def named(image: Image.Image) -> list[str]:
    return [colour.name for colour in dominant_colours(image)]


def stripes(*parts: tuple[str, int]) -> Image.Image:
    """Columns of colours, each so many pixels wide."""
    image, left = Image.new("RGB", (sum(width for _, width in parts), 50)), 0
    for colour, width in parts:
        image.paste(colour, (left, 0, left + width, 50))
        left += width
    return image


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("#ff0000", "red"),
        ("#00ff00", "green"),
        ("#0000ff", "blue"),
        ("#ffff00", "yellow"),
        ("#ffa500", "orange"),
        ("#ffc0cb", "pink"),
        ("#ff69b4", "pink"),
        ("#654321", "brown"),
        ("#800080", "purple"),
        ("#87ceeb", "light blue"),
        ("#191970", "navy"),
        ("#2e8b57", "green"),
        ("#20b2aa", "turquoise"),
        ("#f5f5dc", "beige"),
        ("#696969", "dark grey"),
        ("#ffffff", "white"),
        ("#101010", "black"),
    ],
)
def test_plain_colours_have_their_plain_names(value: str, name: str) -> None:
    assert dominant_colours(Image.new("RGB", (30, 20), value)) == [Colour(name, value, 1.0)]


def test_every_colour_of_the_palette_is_called_by_its_own_name() -> None:
    for name, hues in PALETTE:
        for hue in hues.split():
            assert named(Image.new("RGB", (4, 4), hue)) == [name]


def test_shares_are_of_the_area_and_the_largest_comes_first() -> None:
    found = dominant_colours(stripes(("#0000ff", 20), ("#ffffff", 60), ("#ff0000", 16)))
    assert [colour.name for colour in found] == ["white", "blue", "red"]
    assert [colour.share for colour in found] == pytest.approx(
        [60 / 96, 20 / 96, 16 / 96], abs=0.01
    )


def test_shades_of_one_name_are_one_colour() -> None:
    assert named(stripes(("#ff0000", 40), ("#e6191e", 40), ("#c81e1e", 40))) == ["red"]


def test_a_speck_is_no_dominant_colour() -> None:
    assert named(stripes(("#0000ff", 97), ("#ff0000", 3))) == ["blue"]


def test_what_is_see_through_does_not_count() -> None:
    image = Image.new("RGBA", (40, 40), (0, 255, 0, 0))
    image.paste((255, 0, 0, 255), (0, 0, 10, 40))
    assert dominant_colours(image) == [Colour("red", "#ff0000", 1.0)]
    assert dominant_colours(Image.new("RGBA", (40, 40), (0, 255, 0, 0))) == []


def test_one_pixel_has_a_colour() -> None:
    assert named(Image.new("RGB", (1, 1), "navy")) == ["navy"]


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from(["RGB", "RGBA"]), st.integers(0, 99))
def test_the_answer_is_well_formed_and_always_the_same(
    width: int, height: int, mode: str, seed: int
) -> None:
    found = dominant_colours(noise(width, height, mode, seed))
    assert found == dominant_colours(noise(width, height, mode, seed))
    assert len(found) <= 6 and sum(colour.share for colour in found) <= 1.0005
    assert len({colour.name for colour in found}) == len(found)
    assert all(0.04 <= colour.share <= 1 and len(colour.hex) == 7 for colour in found)


def test_lab_agrees_with_published_values() -> None:
    values = to_lab(np.array([[255, 255, 255], [255, 0, 0], [0, 0, 255], [0, 0, 0]], np.uint8))
    published = [[100, 0, 0], [53.24, 80.09, 67.20], [32.30, 79.19, -107.86], [0, 0, 0]]
    assert np.abs(values - published).max() < 0.1
