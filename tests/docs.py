"""Write docs/cli.md from what `--help` says: `python -m tests.docs`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from sovgen.cli.main import program

PAGE = Path(__file__).parent.parent / "docs" / "cli.md"
HEAD = """# The command line

Written from `--help` by `make docs`; a test fails when the two differ.
Results go to stdout, progress and messages to stderr. Exit codes: 0 done, 1 failed (two lines say
what happened and what to do; `--debug` shows where), 2 usage mistake, 130 stopped by Ctrl-C.

## Where the settings come from
An option comes first, then the variable `SOVGEN_LIBRARY` (for the library), then the config file,
then the default. The config file is `config.toml` in the platform's config folder for `sovgen`, or
what `SOVGEN_CONFIG` names; its keys are `library`, `model`, `encoder`, `device` and `dtype`, all
text. `SOVGEN_CACHE` moves the cache of checksums.

## Completion
`eval "$(_SOVGEN_COMPLETE=bash_source sovgen)"`, in zsh with `zsh_source`, in fish with
`fish_source`.
"""


def commands(command: click.Command, context: click.Context) -> Iterator[click.Context]:
    """The context of a command, then those of all that stand under it."""
    yield context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            under = command.get_command(context, name)
            assert under is not None
            yield from commands(under, click.Context(under, context, name))


def page() -> str:
    """docs/cli.md as it should be."""
    top = click.Context(program, info_name="sovgen", terminal_width=80, max_content_width=80)
    parts = [HEAD]
    for context in commands(program, top):
        parts.append(f"\n## {context.command_path}\n```\n{context.get_help()}\n```\n")
    return "".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
