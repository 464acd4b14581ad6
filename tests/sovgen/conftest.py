"""Tiny models of every family on disk, and a cache of checksums that is nobody's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOVGEN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds `sd1`, `sd2` and `sdxl` as diffusers folders and as `.safetensors`."""
    from tests import tiny
    from tests.single_file import save_single

    root = tmp_path_factory.mktemp("tiny")
    for name, build in tiny.PIPES.items():
        pipe = build()
        pipe.save_pretrained(root / name)
        save_single(pipe, root / f"{name}.safetensors")
    return root


@pytest.fixture(scope="session")
def tiny_transformers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A diffusers folder for every name in `tiny.TRANSFORMERS`."""
    from tests import tiny

    root = tmp_path_factory.mktemp("transformers")
    for name, build in tiny.TRANSFORMERS.items():
        build().save_pretrained(root / name)
    return root
