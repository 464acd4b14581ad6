"""Deep features taken again: how often they are computed, and that nothing is left behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from sovgen.generate.generator import generate
from sovgen.generate.reuse import deep_parts
from sovgen.models.load import Model, load_model
from sovgen.recipe import Recipe

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:diffusers"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:numpy"),
]

APPLE = Recipe("a red apple", seed=11, steps=6, guidance=3.0)


@pytest.fixture(scope="module")
def mini() -> Model:
    return load_model(device="cpu", dtype="float32")


def draw(model: Model, recipe: Recipe) -> Image.Image:
    [picture] = generate(model, [recipe])
    return picture.image


def apart(one: Image.Image, other: Image.Image) -> float:
    return float(np.abs(np.asarray(one, np.int16) - np.asarray(other, np.int16)).mean())


@contextmanager
def counted(*parts: nn.Module) -> Iterator[dict[nn.Module, int]]:
    """How often something runs within each part."""
    counts = dict.fromkeys(parts, 0)

    def count(part: nn.Module) -> torch.utils.hooks.RemovableHandle:
        def one_more(*_: object) -> None:
            counts[part] += 1

        inner = next(m for m in part.modules() if isinstance(m, nn.Conv2d | nn.Linear))
        return inner.register_forward_pre_hook(one_more)

    handles = [count(part) for part in parts]
    try:
        yield counts
    finally:
        for handle in handles:
            handle.remove()


@pytest.mark.parametrize(("interval", "times"), [(None, 6), (2, 3), (3, 2), (4, 2), (10, 1)])
def test_deep_parts_run_at_every_nth_step_and_the_rest_at_each(
    mini: Model, interval: int | None, times: int
) -> None:
    unet = mini.pipe.unet
    shallow = (unet.conv_in, unet.down_blocks[0].resnets[0], unet.up_blocks[-1].resnets[-1])
    with counted(unet.mid_block, *deep_parts(unet)[-2:], *shallow) as counts:
        draw(mini, replace(APPLE, cache_interval=interval))
    assert {counts[part] for part in shallow} == {6}
    assert {n for part, n in counts.items() if part not in shallow} == {times}


def test_the_picture_stays_near_and_nothing_is_left_behind(mini: Model) -> None:
    apple = replace(APPLE, steps=20)
    before = draw(mini, apple)
    cached = draw(mini, replace(apple, cache_interval=2))
    assert cached.tobytes() == draw(mini, replace(apple, cache_interval=2)).tobytes()
    assert draw(mini, apple).tobytes() == before.tobytes()
    other = draw(mini, replace(apple, seed=12))
    assert 0 < apart(before, cached) < apart(before, other) / 2


def test_it_begins_anew_where_guidance_ends(mini: Model) -> None:
    """Without guidance a batch is half as large, so that nothing kept fits it."""
    recipe = replace(APPLE, cache_interval=3, guidance_until=0.5)
    with counted(mini.pipe.unet.mid_block) as counts:
        draw(mini, recipe)
    assert list(counts.values()) == [2]


def test_the_recipe_keeps_it(mini: Model) -> None:
    [picture] = generate(mini, [replace(APPLE, cache_interval=3)])
    assert picture.recipe.cache_interval == 3
