from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from index import Library, Making, New
from tests.index.given import Given


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """No test writes into the user's cache folder; all share one."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOVGEN_CACHE", str(folder))
        yield folder


@pytest.fixture
def encoder() -> Given:
    return Given()


@pytest.fixture
def library(tmp_path: Path, encoder: Given) -> Library:
    return Library.create(tmp_path / "library", encoder)


def picture(number: int, side: int = 16) -> Image.Image:
    """A picture that no other number gives."""
    colour = (number % 256, number // 256 % 256, 128)
    return Image.new("RGB", (side, side), colour)


def png(image: Image.Image) -> bytes:
    data = io.BytesIO()
    image.save(data, "PNG")
    return data.getvalue()


def new(number: int, **making: object) -> New:
    image = picture(number)
    return New(png(image), f"picture {number}", image, Making("tests", **making))
