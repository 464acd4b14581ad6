"""Every command explains itself, cheaply, and the page in docs/ says the same."""

from __future__ import annotations

import shlex

import click
import pytest

from sovgen.cli.lazy import LazyGroup
from sovgen.cli.main import program
from tests.cli.conftest import Loaded, Program
from tests.docs import PAGE, commands, page

CONTEXTS = list(commands(program, click.Context(program, info_name="sovgen")))
# All that `--help` and completion may load, beside the standard library.
LIGHT = {"click", "sovgen", "index"}


@pytest.mark.parametrize("context", CONTEXTS, ids=lambda c: c.command_path)
def test_every_command_has_help_and_a_runnable_example(context: click.Context) -> None:
    text = context.command.get_help(context)
    assert context.command.help
    assert context.command.epilog and "sovgen " in context.command.epilog
    for option in context.command.params:
        if isinstance(option, click.Option):
            assert option.help, option.name
    assert text.startswith(f"Usage: {context.command_path}")


@pytest.mark.parametrize("context", CONTEXTS, ids=lambda c: c.command_path)
def test_examples_are_understood_by_the_parser(context: click.Context) -> None:
    assert context.command.epilog
    words = shlex.split(context.command.epilog.split("sovgen ", 1)[1].split(" && ")[0])
    command: click.Command = program
    parent = click.Context(program, info_name="sovgen")
    while isinstance(command, click.Group):
        under = command.get_command(parent, words.pop(0))
        assert under is not None
        command = under
    command.make_context("example", words, parent=parent)


@pytest.mark.parametrize(
    "context",
    [c for c in CONTEXTS if isinstance(c.command, LazyGroup)],
    ids=lambda c: c.command_path,
)
def test_the_short_help_in_a_table_is_the_commands_own(context: click.Context) -> None:
    assert isinstance(context.command, LazyGroup)
    for name, (_, text) in context.command.commands_at.items():
        command = context.command.get_command(context, name)
        assert command is not None and command.name == name
        assert " ".join((command.help or "").split("\n\n")[0].split()) == text


def test_the_page_in_docs_is_what_help_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: make docs"


def test_help_loads_nothing_but_click(loaded: Loaded) -> None:
    out, packages = loaded("--help")
    assert out.startswith("Usage: sovgen")
    assert packages == LIGHT


@pytest.mark.parametrize("words", ["sovgen se", "sovgen search --", "sovgen library ", "sovgen "])
def test_completion_loads_nothing_but_click(loaded: Loaded, words: str) -> None:
    last = str(len(words.split(" ")) - 1)
    asked = {"_SOVGEN_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": last}
    out, packages = loaded(**asked)
    assert out.startswith("plain,")
    assert packages == LIGHT


def test_a_mistyped_command_is_a_usage_mistake(sovgen: Program) -> None:
    done = sovgen("serch", "x")
    assert done.returncode == 2
    assert "No such command 'serch'" in done.stderr
