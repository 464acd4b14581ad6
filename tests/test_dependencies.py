"""What pyproject declares is what the code imports, no more and no less."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parent.parent
# Declared for another's sake: open_clip imports torchvision, and pip must choose it with torch.
FOR_OTHERS = {"torchvision"}
# Imported only where they are asked for by an extra of that name.
EXTRA_OF_FOLDER = {"sovgen/train": "train", "sovgen/web": "web", "sovgen/cluster": "cluster"}


def imported_modules(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


def distribution(module: str) -> str:
    return normal(packages_distributions()[module][0])


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[\s<>=!~\[;]", name, maxsplit=1)[0]).lower()


def imported() -> dict[str, set[str]]:
    """Distributions imported, by extra ('' for the core)."""
    # _typeshed exists for type checkers alone.
    ours = {"sovgen", "index", "_typeshed"} | set(sys.stdlib_module_names)
    found: dict[str, set[str]] = {}
    for package in ("sovgen", "index"):
        for path in (ROOT / package).rglob("*.py"):
            folder = "/".join(path.relative_to(ROOT).parts[:2])
            extra = EXTRA_OF_FOLDER.get(folder, "")
            names = {distribution(m) for m in imported_modules(path) if m not in ours}
            found.setdefault(extra, set()).update(names)
    return found


def test_core_dependencies_are_exactly_the_imported_ones() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {normal(d) for d in project["dependencies"]}
    assert imported()[""] == declared - FOR_OTHERS


def test_extras_bring_what_their_folders_import() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    core = {normal(d) for d in project["dependencies"]}
    for extra, names in imported().items():
        if extra:
            declared = {normal(d) for d in project["optional-dependencies"][extra]}
            assert names - core <= declared, extra
            assert declared <= names, extra
