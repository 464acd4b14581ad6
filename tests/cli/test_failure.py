"""How what goes wrong reaches a person: exit codes, two lines, and the traceback on demand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import index.errors
import sovgen.errors
from sovgen.cli.failure import told
from tests.cli.conftest import Cli, Program


def trees(*roots: type[Exception]) -> Iterator[type[Exception]]:
    for root in roots:
        yield root
        yield from trees(*root.__subclasses__())


def run(error: BaseException, debug: bool = False) -> tuple[int, str, str]:
    @click.command()
    def command() -> None:
        with told(debug):
            raise error

    done = CliRunner().invoke(command)
    return done.exit_code, done.stdout, done.stderr


@pytest.mark.parametrize(
    "kind",
    list(trees(sovgen.errors.SovgenError, index.errors.LibraryError)),
    ids=lambda kind: kind.__name__,
)
def test_every_error_of_both_trees_is_told_in_two_lines(kind: type[Exception]) -> None:
    error = kind("a.png", "broken")
    error.message, error.hint = "What\nhappened.", "What to do."  # type: ignore[attr-defined]
    code, out, err = run(error)
    assert code == (130 if kind is sovgen.errors.Interrupted else 1)
    assert out == ""
    assert err == "Error: What happened.\nHint: What to do.\n"


def test_an_error_without_a_hint_still_says_what_to_do() -> None:
    assert "--debug" in run(sovgen.errors.BadRecipe("Bad."))[2].splitlines()[1]


def test_the_unexpected_is_one_line_and_the_way_to_its_traceback() -> None:
    code, _, err = run(ZeroDivisionError("division by zero"))
    assert code == 1
    first, second = err.splitlines()
    assert "ZeroDivisionError: division by zero" in first
    assert "--debug" in second


def test_debug_shows_the_traceback_first() -> None:
    code, _, err = run(sovgen.errors.BadRecipe("Bad.", "Mend it."), debug=True)
    assert code == 1
    assert err.startswith("Traceback (most recent call last):")
    assert err.endswith("Error: Bad.\nHint: Mend it.\n")


def test_ctrl_c_exits_130() -> None:
    code, _, err = run(KeyboardInterrupt())
    assert code == 130
    assert err.startswith("Error: Stopped by hand.")


def test_a_closed_pipe_is_no_news() -> None:
    code, out, err = run(BrokenPipeError(32, "Broken pipe"))
    assert (code, out, err) == (1, "", "")


@pytest.mark.parametrize(
    "arguments",
    [
        ["generate"],
        ["generate", "x", "--size", "12"],
        ["generate", "x", "--count", "0"],
        ["search"],
        ["search", "x", "-k", "0"],
        ["search", "x", "--since", "yesterday"],
        ["rate", "abcd", "6"],
        ["export", "--to", "x"],
        ["export", "--to", "x", "--set", "a", "--search", "b"],
        ["export", "--to", "x", "--set", "a", "--format", "zip"],
        ["add"],
        ["library", "reembed"],
        ["nonsense"],
        ["list", "--nonsense"],
    ],
    ids=" ".join,
)
def test_usage_mistakes_exit_2_and_touch_nothing(
    cli: Cli, tmp_path: Path, arguments: list[str]
) -> None:
    done = cli(tmp_path / "none", *arguments)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert "Usage: " in done.stderr
    assert not (tmp_path / "none").exists()


def test_the_real_program_exits_so_too(sovgen: Program, tmp_path: Path) -> None:
    missing = sovgen("--library", tmp_path / "none", "list")
    assert missing.returncode == 1
    assert missing.stdout == ""
    assert [line.split(":")[0] for line in missing.stderr.splitlines()] == ["Error", "Hint"]
    assert sovgen("--debug", "--library", tmp_path, "list").stderr.startswith("Traceback")
    config = tmp_path / "config.toml"
    config.write_text("colour = 'red'\n")
    told_so = sovgen("list", SOVGEN_CONFIG=str(config))
    assert told_so.returncode == 1
    assert "line 1" in told_so.stderr
