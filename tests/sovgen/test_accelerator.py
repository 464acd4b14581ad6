"""The first accelerator of this machine, where it has one: the CPU's pictures, and kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from index.record import read_picture
from sovgen.generate.generator import generate
from sovgen.models import compute
from sovgen.models.device import choose_place
from sovgen.models.load import load_model
from sovgen.recipe import Recipe
from sovgen.studio import Studio

PLACE = choose_place()
pytestmark = [
    pytest.mark.skipif(PLACE.device == "cpu", reason="no accelerator that torch can use"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

FOX = Recipe("a red fox", seed=3, steps=4, width=64, height=64)
# Mean distance of values from the CPU's in float32, of 255: in the dtype that the machine chooses,
# which has 8 to 11 bits, and in float32, whose sums may be of shorter numbers on a GPU.
NEAR, SAME = 6.0, 1.0


def values(picture: object) -> NDArray[np.int16]:
    return np.asarray(picture.image, np.int16)  # type: ignore[attr-defined]


@pytest.mark.parametrize("family", ["sd1", "sdxl", "sd3"])
def test_accelerator_draws_what_the_cpu_draws(
    tiny_models: Path, tiny_transformers: Path, family: str
) -> None:
    folder = (tiny_transformers if family == "sd3" else tiny_models) / family
    [wanted] = generate(load_model(folder, "cpu", "float32"), [FOX])
    for dtype, most in ((None, NEAR), ("float32", SAME)):
        model = load_model(folder, dtype=dtype)
        assert (model.device, model.moving) == (PLACE.device, False)
        assert model.dtype == (dtype or PLACE.dtype)
        [drawn] = generate(model, [FOX])
        assert np.abs(values(drawn) - values(wanted)).mean() < most
        together = list(generate(model, [FOX, replace(FOX, seed=4)], batch=2))
        assert np.abs(values(together[0]) - values(drawn)).mean() < most


def test_picture_of_an_accelerator_is_kept_found_and_made_again(
    tiny_models: Path, tmp_path: Path
) -> None:
    studio = Studio(tmp_path / "library", tiny_models / "sd1")
    [made] = studio.make(FOX)
    assert made.entry is not None
    assert (made.entry.device, made.entry.dtype) == (PLACE.device, PLACE.dtype)
    assert read_picture(made.path)[0].id == made.entry.id
    assert np.abs(values(studio.remake(made.entry.id)) - values(made.picture)).mean() < SAME
    assert not studio.library.verify()


def test_parts_that_take_turns_draw_the_same_and_are_kept(
    tiny_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [wanted] = generate(load_model(tiny_models / "sd1"), [FOX])
    monkeypatch.setattr(compute, "free_bytes", lambda _: 0)
    studio, told = Studio(tmp_path / "library", tiny_models / "sd1"), list[str]()
    [made] = studio.make(FOX, on_notice=told.append)
    assert studio.model.moving
    assert [notice for notice in told if "take turns" in notice]
    assert np.abs(values(made.picture) - values(wanted)).mean() < SAME
    assert made.entry is not None
    assert not studio.library.verify()
