"""The memory that drawing takes, worked out from shapes, and what it has to agree with."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sovgen.models.description import read_layout
from sovgen.models.footprint import footprint
from sovgen.models.load import load_model
from sovgen.models.questions import question
from sovgen.models.store import find_model
from tests import tiny

NAMES = list(tiny.TRANSFORMERS)


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_those_of_the_loaded_model(tiny_transformers: Path, name: str) -> None:
    model = load_model(tiny_transformers / name, "cpu", "bfloat16")
    parts = [getattr(model.pipe, part) for part in model.kind.weighted]
    loaded = sum(p.numel() * p.element_size() for part in parts for p in part.parameters())
    layout = read_layout(find_model(tiny_transformers / name))
    told = footprint(layout, 64, 64, "cpu", "bfloat16")
    # Stored beside them are tables that are no parameters.
    assert loaded <= told.weights < 1.1 * loaded


@pytest.mark.parametrize("name", NAMES)
def test_questions_are_what_the_denoiser_answers(tiny_transformers: Path, name: str) -> None:
    model = load_model(tiny_transformers / name, "cpu", "float32")
    layout = read_layout(find_model(tiny_transformers / name))
    asked = question(layout, 1, 96, 64, torch.float32)
    given = {
        n: torch.zeros_like(v, device="cpu") if isinstance(v, torch.Tensor) else v
        for n, v in asked.items()
    }
    with torch.no_grad():
        answer = model.denoiser(**given, return_dict=False)[0]
    assert answer.shape[0] == next(iter(given.values())).shape[0]


@pytest.mark.parametrize("name", ["sd1", "sdxl"])
def test_more_pixels_and_pictures_take_more(tiny_models: Path, name: str) -> None:
    layout = read_layout(find_model(tiny_models / name))
    small, large = (footprint(layout, side, side, "cpu", "float32") for side in (64, 128))
    several = footprint(layout, 64, 64, "cpu", "float32", pictures=4)
    assert small.weights == large.weights == several.weights
    assert 3.5 * small.decoding < large.decoding < 4.5 * small.decoding
    assert small.drawing < several.drawing
    assert small.decoding == several.decoding
    assert large.peak == large.weights + max(large.drawing, large.decoding + large.kept)


def test_small_blocks_stay_with_the_c_library_and_large_ones_and_those_of_a_gpu_do_not(
    tiny_models: Path,
) -> None:
    layout = read_layout(find_model(tiny_models / "sd2"))
    small, large = (footprint(layout, side, side, "cpu", "float32") for side in (256, 2048))
    assert small.kept == small.drawing
    assert 0 < large.kept < large.drawing
    on_gpu = footprint(layout, 256, 256, "cuda", "float32")
    assert on_gpu.kept == 0
    assert on_gpu.peak < small.peak


def test_a_refiner_is_asked_with_what_it_takes(tmp_path: Path) -> None:
    tiny.refiner().save_pretrained(tmp_path / "refiner")
    layout = read_layout(find_model(tmp_path / "refiner"))
    assert footprint(layout, 64, 64, "cpu", "float32").drawing > 0
