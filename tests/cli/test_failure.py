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
    stopped = kind is sovgen.errors.Interrupted
    hint = "Everything kept before stands." if stopped else "What to do."
    assert (code, out) == (130 if stopped else 1, "")
    assert err == f"Error: What happened.\nHint: {hint}\n"


def test_an_error_without_a_hint_is_one_line() -> None:
    assert run(sovgen.errors.BadRecipe("Bad."))[2] == "Error: Bad.\n"


@pytest.mark.parametrize(
    ("option", "ours"), [("--width", "--size"), ("--cfg-scale", "--guidance"), ("-n", "--count")]
)
def test_an_option_of_another_program_is_told_by_our_name(
    cli: Cli, tmp_path: Path, option: str, ours: str
) -> None:
    done = cli(tmp_path / "none", "generate", "x", option, "2")
    assert done.exit_code == 2 and ours in done.stderr.rpartition("Did you mean")[2]


@pytest.mark.parametrize(
    ("option", "near"),
    [
        ("--stepz", "Did you mean '--steps'?"),
        ("--gridd", "Did you mean '--grid'?"),
        ("--clip", "Did you mean '--clip-skip'?"),
        ("--image-size", "Did you mean '--size'?"),
        ("--prompt", ""),
        ("--hires", ""),
        ("--out", ""),
    ],
)
def test_only_an_option_that_may_be_meant_is_named(
    cli: Cli, tmp_path: Path, option: str, near: str
) -> None:
    done = cli(tmp_path / "none", "generate", "x", option, "2")
    told = f"Error: No such option '{option}'. {near}".rstrip()
    assert (done.exit_code, done.stderr.splitlines()[-1]) == (2, told)


def test_the_unexpected_is_one_line_and_the_way_to_its_traceback() -> None:
    code, _, err = run(ZeroDivisionError("division by zero"))
    assert code == 1
    first, second = err.splitlines()
    assert "ZeroDivisionError: division by zero" in first
    assert "--debug" in second


def test_the_systems_refusals_are_told_with_their_path(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "a.png").write_bytes(b"")
    refused = cli(tmp_path / "file" / "library", "add", tmp_path / "a.png")
    assert refused.exit_code == 1
    assert refused.stderr.startswith(f"Error: {tmp_path / 'file'}")
    assert "A file stands where a folder is needed" in refused.stderr
    assert "Unexpected" not in refused.stderr


def test_text_that_the_terminal_cannot_show_is_shown_as_well_as_can_be(
    sovgen: Program, tmp_path: Path
) -> None:
    (tmp_path / "fox 🦊.toml").write_text("device = 1\n")
    variables = {"SOVGEN_CONFIG": str(tmp_path / "fox 🦊.toml"), "PYTHONIOENCODING": "latin-1"}
    done = sovgen("list", **variables)
    assert done.returncode == 1
    assert "fox \\U0001f98a.toml, line 1" in done.stderr


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
        ["list", "-k", "99999999999999999999"],
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
