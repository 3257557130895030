"""A click group that imports a command when it is used, not when it is listed."""

from __future__ import annotations

import importlib
from typing import Any

import click

from alenv.errors import unknown


class LazyGroup(click.Group):
    """A group whose commands live in modules of their own.

    Args:
        commands_at: Command name -> (module, one line of help); the module holds a command of that name.
    """

    def __init__(self, *args: Any, commands_at: dict[str, tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._commands_at = commands_at

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Returns the names in the order of the table."""
        return list(self._commands_at)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        """Imports one command.

        Raises:
            UnknownName: There is no such command.
        """
        if cmd_name not in self._commands_at:
            raise unknown("command", cmd_name, self._commands_at)
        command = getattr(importlib.import_module(self._commands_at[cmd_name][0]), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Lists the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self._commands_at.items()])
