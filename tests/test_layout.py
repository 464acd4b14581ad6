"""The house: imports point one way, files are small, and public names are what they say."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted(p for package in ("sovgen", "index") for p in (ROOT / package).rglob("*.py"))
DRAWERS = {"utils", "util", "helpers", "helper", "manager", "managers", "common", "misc", "base"}
# Libraries that cost more to import than a package may that is only being looked at.
COSTLY = {"torch", "open_clip", "diffusers", "transformers", "numpy", "duckdb", "faiss", "PIL"}


def modules_named(path: Path) -> set[str]:
    """Every module that a file imports, wherever in it."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    plain = {alias.name for n in nodes if isinstance(n, ast.Import) for alias in n.names}
    return plain | {n.module for n in nodes if isinstance(n, ast.ImportFrom) and n.module}


def test_import_contracts_are_kept() -> None:
    lint = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_index_never_imports_sovgen_not_even_inside_a_function() -> None:
    for path in FILES:
        if path.is_relative_to(ROOT / "index"):
            assert not {m for m in modules_named(path) if m.split(".")[0] == "sovgen"}, path


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_every_file_says_what_it_holds_and_stays_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text)), "no module docstring"
    assert len(text.splitlines()) <= 300
    assert path.stem not in DRAWERS


@pytest.mark.parametrize("package", ["sovgen", "index"])
def test_public_names_are_sorted_documented_and_importable(package: str) -> None:
    module = import_module(package)
    assert list(module.__all__) == sorted(module.__all__)
    for name in module.__all__:
        assert getattr(module, name).__doc__, name
    assert set(module.__all__) <= set(dir(module))


@pytest.mark.parametrize("package", ["sovgen", "index"])
def test_importing_a_package_imports_nothing_costly(package: str) -> None:
    code = f"import sys, {package}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert package in loaded and not loaded & COSTLY, done.stderr
