"""Backends: the same picture by each, alone and in a batch, now and in a later process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
from numpy.typing import NDArray

from sovgen.errors import BadRecipe
from sovgen.generate import backend
from sovgen.generate.generator import generate
from sovgen.models.load import Model, load_model
from sovgen.recipe import Recipe
from tests import tiny

pytestmark = pytest.mark.filterwarnings("ignore")

FOX = Recipe("a red fox", seed=3, steps=2, width=64, height=64)
APPLES = [Recipe("a red apple", seed=seed, steps=3, guidance=3.0) for seed in (1, 2, 3)]
UNETS, TRANSFORMERS = list(tiny.PIPES), list(tiny.TRANSFORMERS)


@pytest.fixture(scope="module")
def mini() -> Model:
    return load_model(device="cpu", dtype="float32")


def by(backend: str, recipes: Sequence[Recipe]) -> list[Recipe]:
    return [replace(recipe, backend=backend) for recipe in recipes]


def pixels(model: Model, recipes: Sequence[Recipe], exact: bool = False) -> NDArray[np.int16]:
    drawn = generate(model, recipes, exact=exact)
    return np.stack([np.asarray(picture.image).astype(np.int16) for picture in drawn])


def apart(one: NDArray[np.int16], other: NDArray[np.int16]) -> int:
    return int(np.abs(one - other).max())


def test_openvino_draws_what_torch_draws_alone_and_in_a_batch(mini: Model) -> None:
    together = pixels(mini, by("openvino", APPLES))
    assert apart(together, pixels(mini, APPLES)) <= 1
    assert apart(together, pixels(mini, by("openvino", APPLES), exact=True)) <= 1


@pytest.fixture
def cache(mini: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where OpenVINO's models are kept: nothing yet, and none is loaded."""
    monkeypatch.setenv("SOVGEN_CACHE", str(tmp_path))
    mini.compiled.clear()
    return tmp_path / "openvino"


def test_openvino_draws_the_same_bytes_from_what_an_earlier_run_kept(
    mini: Model, cache: Path
) -> None:
    first = pixels(mini, by("openvino", APPLES[:1]))
    [kept] = cache.iterdir()
    written = kept.stat().st_mtime_ns
    later = load_model(device="cpu", dtype="float32")
    assert pixels(later, by("openvino", APPLES[:1])).tobytes() == first.tobytes()
    assert [(path, path.stat().st_mtime_ns) for path in cache.iterdir()] == [(kept, written)]


def test_openvino_reports_to_nobody(tmp_path: Path) -> None:
    draws = """
        import sys
        from sovgen import Recipe, Studio
        studio = Studio("library", device="cpu", dtype="float32")
        list(studio.make(Recipe("a fox", steps=1, guidance=1, backend="openvino"), index=False))
        print("openvino" in sys.modules, sys.modules["openvino_telemetry"])
    """
    environ = {**os.environ, "HOME": str(tmp_path), "SOVGEN_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, "-c", dedent(draws)]
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True)
    assert done.stdout.strip() == "True None", done.stderr
    assert not (tmp_path / "intel").exists()


def test_ctrl_c_is_only_ctrl_c_after_openvino_has_drawn(tiny_models: Path, tmp_path: Path) -> None:
    """Two models, and both let go: each OpenVINO core has a signal stack, which went with it."""
    draws = f"""
        import gc, os, signal
        from pathlib import Path
        from sovgen.generate.generator import generate
        from sovgen.models.load import load_model
        from sovgen.recipe import Recipe

        models = [load_model(Path({str(tiny_models)!r}) / name, "cpu", "float32")
                  for name in ("sd1", "sd2")]
        for model in models:
            list(generate(model, [Recipe("a fox", steps=1, backend="openvino")]))
        del model
        while models:
            del models[0]
            gc.collect()
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except KeyboardInterrupt:
            print("interrupted")
    """
    environ = {**os.environ, "SOVGEN_CACHE": str(tmp_path)}
    command = [sys.executable, "-c", dedent(draws)]
    done = subprocess.run(command, env=environ, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "interrupted\n"), done.stderr


def test_what_openvino_cannot_read_is_made_anew(mini: Model, cache: Path) -> None:
    first = pixels(mini, by("openvino", APPLES[:1]))
    [kept] = cache.iterdir()
    kept.write_bytes(b"of another version")
    mini.compiled.clear()
    assert pixels(mini, by("openvino", APPLES[:1])).tobytes() == first.tobytes()
    assert kept.stat().st_size > 1000


@pytest.mark.parametrize("name", UNETS + TRANSFORMERS)
def test_openvino_draws_every_family(tiny_models: Path, tiny_transformers: Path, name: str) -> None:
    root = tiny_models if name in UNETS else tiny_transformers
    model = load_model(root / name, "cpu", "float32")
    two = [FOX, replace(FOX, prompt="a blue house", seed=4)]
    together = pixels(model, by("openvino", two))
    assert apart(together, pixels(model, two)) <= 1
    assert apart(together, pixels(model, by("openvino", two), exact=True)) <= 1


def test_openvino_computes_in_the_dtype_of_the_model(tiny_models: Path) -> None:
    model = load_model(tiny_models / "sd1", "cpu", "bfloat16")
    drawn = pixels(model, by("openvino", [FOX]))
    assert drawn.std() > 1
    assert np.abs(drawn - pixels(model, [FOX])).mean() < 8


def test_compiled_draws_what_torch_draws_alone_and_in_a_batch(
    tiny_transformers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOVGEN_CACHE", str(tmp_path))
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    model = load_model(tiny_transformers / "pixart", "cpu", "float32")
    two = [FOX, replace(FOX, prompt="a blue house", seed=4)]
    together = pixels(model, by("compile", two))
    assert apart(together, pixels(model, two)) <= 1
    assert apart(together, pixels(model, by("compile", two), exact=True)) <= 1
    assert any((tmp_path / "inductor").rglob("*.so")), os.environ["TORCHINDUCTOR_CACHE_DIR"]


def test_denoiser_is_torchs_own_again(tiny_models: Path) -> None:
    model = load_model(tiny_models / "sd1", "cpu", "float32")
    before = pixels(model, [FOX])
    pixels(model, by("openvino", [FOX]))
    assert "forward" not in vars(model.denoiser)
    assert pixels(model, [FOX]).tobytes() == before.tobytes()


def test_recipe_says_what_asked_the_denoiser(mini: Model) -> None:
    [plain], [other] = (list(generate(mini, r)) for r in (APPLES[:1], by("openvino", APPLES[:1])))
    assert (plain.recipe.backend, other.recipe.backend) == ("torch", "openvino")


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every U-Net is large enough for OpenVINO, and 1,000 of `FOX` repay it."""
    monkeypatch.setattr(backend, "_LARGE", 0)
    monkeypatch.setattr(backend, "_REPAID", 1000 * 2 * 2)


def chosen(model: Model, recipe: Recipe, pictures: int) -> tuple[str | None, list[str]]:
    """What asks the denoiser for the first of so many pictures, and what is told of it."""
    told = list[str]()
    [drawn] = generate(model, [recipe], among=pictures, on_notice=told.append)
    return drawn.recipe.backend, told


@pytest.mark.usefixtures("soon")
def test_backend_is_chosen_once_a_run_repays_it(tiny_models: Path) -> None:
    model = load_model(tiny_models / "sd1", "cpu", "float32")
    assert chosen(model, FOX, 999) == ("torch", [])
    name, told = chosen(model, FOX, 1000)
    assert name == "openvino" and "OpenVINO prepares the denoiser" in told[0]
    assert chosen(model, replace(FOX, backend="torch"), 1000) == ("torch", [])
    assert chosen(model, replace(FOX, guidance=1.0), 1000) == ("torch", []), "half as many rows"


@pytest.mark.usefixtures("soon")
def test_backend_that_cannot_draw_so_or_is_not_there_is_not_chosen(
    tiny_models: Path, tiny_transformers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_model(tiny_models / "sd1", "cpu", "float32")
    assert chosen(model, replace(FOX, cache_interval=2), 1000) == ("torch", [])
    for other, dtype in ((tiny_models / "sd1", "bfloat16"), (tiny_transformers / "sd3", "float32")):
        assert chosen(load_model(other, "cpu", dtype), FOX, 1000) == ("torch", [])
    monkeypatch.setattr(backend, "_LARGE", model.denoiser.num_parameters() + 1)
    assert chosen(model, FOX, 1000) == ("torch", [])
    monkeypatch.setattr(backend, "_LARGE", 0)
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert chosen(model, FOX, 1000) == ("torch", [])


@pytest.mark.usefixtures("soon")
def test_pictures_of_another_shape_repay_nothing(tiny_models: Path) -> None:
    model = load_model(tiny_models / "sd1", "cpu", "float32")
    small = [replace(FOX, seed=seed) for seed in range(600)]
    high = [replace(recipe, height=72) for recipe in small]
    assert next(generate(model, small + high)).recipe.backend == "torch"
    assert next(generate(model, small * 2)).recipe.backend == "openvino"


def test_unknown_backend_is_refused() -> None:
    with pytest.raises(BadRecipe, match="no backend 'onnx'"):
        Recipe("a fox", backend="onnx")


@pytest.mark.parametrize("backend", ["compile", "openvino"])
def test_backend_is_refused_beside_what_reaches_into_the_denoiser(
    mini: Model, backend: str
) -> None:
    with pytest.raises(BadRecipe, match="cache interval reaches into"):
        generate(mini, [replace(APPLES[0], backend=backend, cache_interval=2)])


def test_compiling_without_a_compiler_is_refused(
    mini: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(BadRecipe, match="no no-such-compiler"):
        generate(mini, by("compile", APPLES[:1]))


def test_openvino_that_is_not_installed_is_told_with_the_command(
    mini: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(BadRecipe, match="not installed") as refused:
        generate(mini, by("openvino", APPLES[:1]))
    assert refused.value.hint == "Run: pip install 'sovgen[openvino]'"


def test_openvino_draws_where_nothing_can_be_kept(
    tiny_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "openvino").write_text("a file where the folder would be")
    model = load_model(tiny_models / "sd1", "cpu", "float32")
    monkeypatch.setenv("SOVGEN_CACHE", str(tmp_path))
    assert apart(pixels(model, by("openvino", [FOX])), pixels(model, [FOX])) <= 1
