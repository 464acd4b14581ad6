"""One library, drawn once by the bundled model, for every test of the command line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sovgen.cli.main import program

PROMPTS = ("a red apple", "a yellow star", "a blue fish")
# Runs the program, then says on the last line of stderr which packages it had loaded.
PROBE = """
import sys
bare = set(sys.modules)
from sovgen.__main__ import main
try:
    main()
finally:
    loaded = {name.split(".")[0] for name in set(sys.modules) - bare}
    print(*loaded - set(sys.stdlib_module_names), file=sys.stderr)
"""
Program = Callable[..., subprocess.CompletedProcess[str]]
Cli = Callable[..., Result]
Loaded = Callable[..., tuple[str, set[str]]]


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose config and cache stand in for the user's."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "config.toml").touch()
    return folder


@pytest.fixture(scope="session")
def environ(home: Path) -> dict[str, str]:
    """The variables under which the real program runs in a test."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SOVGEN_", "HF_"))}
    ours = {"SOVGEN_CONFIG": str(home / "config.toml"), "SOVGEN_CACHE": str(home / "cache")}
    return kept | ours | {"OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="session")
def sovgen(environ: dict[str, str]) -> Program:
    """Run the real program in a process of its own."""

    def run(*arguments: object, **more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "sovgen", *map(str, arguments)]
        return subprocess.run(command, env=environ | more, capture_output=True, text=True)

    return run


@pytest.fixture(scope="session")
def loaded(environ: dict[str, str]) -> Loaded:
    """Run the real program; gives its stdout, and what it loaded outside the standard library."""

    def run(*arguments: object, **more: str) -> tuple[str, set[str]]:
        command = [sys.executable, "-c", PROBE, *map(str, arguments)]
        done = subprocess.run(command, env=environ | more, capture_output=True, text=True)
        assert done.returncode == 0, f"{arguments}: {done.stderr}"
        return done.stdout, set(done.stderr.splitlines()[-1].split())

    return run


@pytest.fixture(scope="session")
def drawn(sovgen: Program, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that holds one picture of each prompt. Tests that change it take `library`."""
    root = tmp_path_factory.mktemp("drawn") / "library"
    flags = ("--steps", 2, "--seed", 7, "--json")
    done = sovgen("--library", root, "generate", *PROMPTS, *flags)
    assert done.returncode == 0, done.stderr
    assert [e["prompt"] for e in json.loads(done.stdout)] == list(PROMPTS)
    return root


@pytest.fixture
def library(drawn: Path, tmp_path: Path) -> Path:
    """A copy of the drawn library, to be changed."""
    return Path(shutil.copytree(drawn, tmp_path / "library"))


@pytest.fixture
def cli(environ: dict[str, str]) -> Cli:
    """Run a command in this process, in a library, as the program would."""

    def run(root: Path, *arguments: object, **more: str) -> Result:
        words = ["--library", str(root), *map(str, arguments)]
        return CliRunner(env=environ | more).invoke(program, words)

    return run
