"""A tiny model and a tiny library that jobs are drawn with."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from index import Library
from sovgen.batch.job import Job, job_of
from sovgen.batch.queue import Queue
from sovgen.recipe import Recipe

JobsOf = Callable[..., list[Job]]


@pytest.fixture(scope="package")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library with a tiny CLIP and no picture; tests take a copy."""
    from index.encoder import load_encoder
    from tests.tiny_clip import open_clip_folder

    root = tmp_path_factory.mktemp("empty")
    encoder = load_encoder(open_clip_folder(root / "clip"))
    return Library.create(root / "library", encoder).root


@pytest.fixture(scope="package")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests import tiny

    folder = tmp_path_factory.mktemp("model") / "sd1"
    tiny.sd1().save_pretrained(folder)
    return folder


@pytest.fixture
def library(empty: Path, tmp_path: Path) -> Library:
    return Library.open(shutil.copytree(empty, tmp_path / "library"))


@pytest.fixture
def queue(library: Library) -> Queue:
    return Queue(library.root)


@pytest.fixture
def jobs_of(model: Path) -> JobsOf:
    """Jobs of consecutive seeds, with whatever else is given."""

    def making(count: int, seed: int = 0, **fields: object) -> list[Job]:
        base = Recipe("a fox", model=str(model), steps=1, sampler="ddim")
        small = replace(base, guidance=1.0, width=32, height=32, device="cpu", dtype="float32")
        recipe = replace(small, **fields)  # type: ignore[arg-type]
        return [job_of(replace(recipe, seed=s)) for s in range(seed, seed + count)]

    return making
