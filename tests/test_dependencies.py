"""What pyproject declares is what the code imports, no more and no less."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parent.parent
# Declared for another's sake: open_clip imports torchvision, and pip must choose it with torch.
FOR_OTHERS = {"torchvision"}
# Imported only where they are asked for by an extra of that name.
EXTRA_OF_FOLDER = {"sovgen/train": "train", "sovgen/web": "web", "sovgen/cluster": "cluster"}
EXTRA_OF_FILE = {"sovgen/generate/openvino.py": "openvino"}


def imported_modules(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


def distribution(module: str) -> str:
    return normal(brought()[module][0])


@cache
def brought() -> Mapping[str, list[str]]:
    """The distributions that bring each module; reading them all takes a second."""
    return packages_distributions()


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[\s<>=!~\[;]", name, maxsplit=1)[0]).lower()


def imported() -> dict[str, set[str]]:
    """Distributions imported, by extra ('' for the core)."""
    # _typeshed exists for type checkers alone.
    ours = {"sovgen", "index", "_typeshed"} | set(sys.stdlib_module_names)
    found: dict[str, set[str]] = {}
    for package in ("sovgen", "index"):
        for path in (ROOT / package).rglob("*.py"):
            inside = path.relative_to(ROOT)
            extra = EXTRA_OF_FOLDER.get("/".join(inside.parts[:2]), "")
            extra = EXTRA_OF_FILE.get(inside.as_posix(), extra)
            names = {distribution(m) for m in imported_modules(path) if m not in ours}
            found.setdefault(extra, set()).update(names)
    return found


def test_the_benchmarks_import_beyond_the_rest_what_their_extra_brings() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = {n: {normal(d) for d in ds} for n, ds in project["optional-dependencies"].items()}
    known = {normal(d) for d in project["dependencies"]} | extras["dev"] | extras["train"]
    ours = {"sovgen", "index", "tests"} | set(sys.stdlib_module_names)
    paths = (ROOT / "tests/benchmarks").rglob("*.py")
    used = {m for path in paths for m in imported_modules(path) if m not in ours}
    # by name, since an extra that is not installed has no distribution to ask
    assert {normal(m) for m in used} - {normal(m) for m in modules_of(known)} == extras["bench"]


def modules_of(distributions: set[str]) -> set[str]:
    return {m for m, names in brought().items() if {normal(n) for n in names} & distributions}


def test_core_dependencies_are_exactly_the_imported_ones() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {normal(d) for d in project["dependencies"]}
    assert imported()[""] | FOR_OTHERS == declared | FOR_OTHERS


def test_extras_bring_what_their_folders_import() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    core = {normal(d) for d in project["dependencies"]}
    for extra, names in imported().items():
        if extra:
            declared = {normal(d) for d in project["optional-dependencies"][extra]}
            assert names - core <= declared, extra
            assert declared <= names, extra
