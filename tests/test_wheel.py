"""The wheel is the product: it is built, installed elsewhere, and does the main job there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LIMIT = 95 * 1000 * 1000


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out)]
    subprocess.run([*build, str(ROOT)], check=True, capture_output=True)
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def elsewhere(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new virtual environment that holds the wheel alone and sees only its dependencies."""
    home = tmp_path_factory.mktemp("elsewhere")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home / "venv")], check=True)
    python = home / "venv" / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--no-index", str(wheel)], check=True)
    site = next((home / "venv" / "lib").glob("python*/site-packages"))
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return home


def run(home: Path, *arguments: str) -> str:
    env = {k: v for k, v in os.environ.items() if not k.startswith(("SOVGEN", "PYTHON"))}
    env |= {"SOVGEN_LIBRARY": str(home / "library"), "SOVGEN_CACHE": str(home / "cache")}
    command = [str(home / "venv" / "bin" / arguments[0]), *arguments[1:]]
    done = subprocess.run(command, cwd=home, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_wheel_is_small_enough_and_holds_both_packages_and_the_model(wheel: Path) -> None:
    assert wheel.stat().st_size < LIMIT
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"sovgen/__main__.py", "index/library.py", "sovgen/py.typed", "index/py.typed"} <= names
    assert "index/_data/models/sovgen-mini/model_index.json" in names
    assert not any(n.startswith("tests/") or "__pycache__" in n for n in names)


def test_wheel_generates_and_finds_outside_the_checkout(elsewhere: Path) -> None:
    where = run(elsewhere, "python", "-c", "import sovgen, index; print(sovgen.__file__)")
    assert Path(where.strip()).is_relative_to(elsewhere)
    flags = ["--steps", "2", "--seed", "3", "--json"]
    made = json.loads(run(elsewhere, "sovgen", "generate", "a red apple", *flags))
    found = json.loads(run(elsewhere, "sovgen", "search", "fruit", "--all", "--json"))
    assert [hit["id"] for hit in found] == [made[0]["id"]]
