"""A click group that knows its commands' names and help without importing their modules.

So `--help` and completion cost no more than click itself. It knows no command of sovgen's.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

import click
from click.shell_completion import CompletionItem


class LazyGroup(click.Group):
    """Subclasses map each command's name to where it stands ("module:attribute") and its help."""

    commands_at: Mapping[str, tuple[str, str]] = {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order in which they were written down."""
        return list(self.commands_at)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module; None for an unknown name, which click reports."""
        if cmd_name not in self.commands_at:
            return None
        module, attribute = self.commands_at[cmd_name][0].split(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, from the help that is known without importing."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self.commands_at.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete command names without importing, then this group's own options."""
        names = (name for name in self.commands_at if name.startswith(incomplete))
        found = [CompletionItem(name, help=self.commands_at[name][1]) for name in names]
        return found + click.Command.shell_complete(self, ctx, incomplete)
