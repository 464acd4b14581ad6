"""Points: each operation is killed wherever it can be, and the library is as before or as after.

Everything is compared with what the harness itself wrote down, and the operation is then done
again, as a person would. A point that a new version of an operation passes has to be named here.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

import index
from index import Library, NoLibrary
from tests.crash.inspection import check, check_differences
from tests.crash.operations import OPERATIONS, Coarse, Operation, carry_out, lay
from tests.crash.processes import KILLED, ended, start, told


@pytest.fixture(scope="module")
def laid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("laid")
    lay(folder)
    return folder


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_kill_at_every_point_of(name: str, laid: Path, tmp_path: Path) -> None:
    folder = _copied(laid, tmp_path / "whole")
    passed: list[str] = told(carry_out, folder, name, fault="nowhere")
    assert set(passed) == set(OPERATIONS[name].points.split())
    check_after(OPERATIONS[name], folder)
    for point in dict.fromkeys(passed):
        for turn in sorted({1, passed.count(point)}):
            folder = _copied(laid, tmp_path / f"{point}-{turn}")
            assert ended(start(carry_out, folder, name, fault=f"{point}:{turn}")) == KILLED
            check_killed(OPERATIONS[name], folder)


def check_killed(operation: Operation, folder: Path) -> None:
    """Hold what was left against what is allowed, then finish."""
    done = False
    try:
        library = Library.open(folder / operation.library, Coarse())
    except NoLibrary:
        assert operation.library in ("again", "fresh")  # it was being made
    else:
        found = check(library, operation.before, [operation.lines], Coarse)
        check_differences(library, operation.lines, operation.leaves)
        done = found == [*operation.before, *operation.lines]
    if not (done and operation.once):
        operation.do(folder)
    check_after(operation, folder)


def check_after(operation: Operation, folder: Path) -> None:
    """Fail unless the library is whole and as it should be after the operation."""
    root = folder / operation.library
    assert Library.repair(root, Coarse()).left == []
    check(Library.open(root, Coarse()), [*operation.before, *operation.lines], (), Coarse)


def _copied(laid: Path, folder: Path) -> Path:
    return Path(shutil.copytree(laid, folder))


def test_every_point_there_is_is_on_some_way() -> None:
    sources = Path(index.__file__).parent.rglob("*.py")
    named = {
        point for path in sources for point in re.findall(r'reach\("(.+?)"\)', path.read_text())
    }
    assert named == {point for each in OPERATIONS.values() for point in each.points.split()}
