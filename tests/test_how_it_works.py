"""docs/how-it-works.md: its pictures are there and small, its links resolve, its commands exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest
from PIL import Image

from sovgen.cli.main import program
from sovgen.recipe import Recipe
from tests.docs import understand

DOCS = Path(__file__).parent.parent / "docs"
PAGE = (DOCS / "how-it-works.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^\$ sovgen (.+)$", PAGE, re.MULTILINE)
MOST_BYTES = 600_000


def test_every_link_resolves() -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", PAGE)
    assert targets
    for target in targets:
        assert (DOCS / target).exists(), target


def test_every_picture_is_shown_and_together_they_are_small() -> None:
    pictures = sorted((DOCS / "images").iterdir())
    shown = set(re.findall(r"!\[[^\]]+\]\(images/([^)]+)\)", PAGE))
    assert {picture.name for picture in pictures} == shown
    assert sum(picture.stat().st_size for picture in pictures) <= MOST_BYTES
    for picture in pictures:
        with Image.open(picture) as image:
            image.verify()


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_is_understood_by_the_parser(line: str) -> None:
    understand(shlex.split(line))


def test_every_flag_named_is_one_of_a_command() -> None:
    known = {
        flag
        for name in program.list_commands(click.Context(program))
        if (command := program.get_command(click.Context(program), name))
        for option in command.params
        for flag in option.opts
    }
    assert set(re.findall(r"`(--[a-z-]+)", PAGE)) <= known


def test_every_sampler_named_is_known() -> None:
    told = re.findall(r'--samplers? "?([\w+ ,]+)', PAGE)
    named = [name.strip() for names in told for name in names.split(",")]
    assert named
    for name in named:
        assert Recipe("a fox", sampler=name)
