"""Define the command `saga`; its subcommands live in the modules of this package.

A module is imported when its command is used or listed, so `saga show` does not load what `saga up`
needs.
"""

import importlib
import importlib.util
import sys
from collections.abc import Mapping, Sequence

import click

from saga_lab.devstack.errors import StackError

# Command name -> the module of this package that defines it, as a function of the same name.
COMMANDS: Mapping[str, str] = {
    "up": "stack",
    "down": "stack",
    "demo": "demo",
    "place": "place",
    "wait": "place",
    "cancel": "orders",
    "pause": "orders",
    "resume": "orders",
    "approve": "orders",
    "reject": "orders",
    "show": "orders",
    "ls": "orders",
    "pin": "orders",
    "unpin": "orders",
    "batch": "links",
    "links": "links",
    "interventions": "cases",
    "resolve": "cases",
    "evidence": "cases",
    "flows": "flows",
    "erase": "erase",
    "reconcile": "reconcile",
    "sim": "sim",
    "gameday": "gameday",
    "republish": "republish",
}


class _LazyGroup(click.Group):
    """Imports a command when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name in COMMANDS if importlib.util.find_spec(_module(name))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        command = getattr(importlib.import_module(_module(cmd_name)), cmd_name)
        assert isinstance(command, click.Command)
        return command


def _module(command: str) -> str:
    return f"saga_cli.{COMMANDS[command]}"


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
def saga() -> None:
    """Run, watch and rehearse choreographed sagas."""


def _check_words(words: Sequence[str]) -> None:
    """Raise StackError for an argument that is no UTF-8: no order id and no reason can hold it."""
    for word in words:
        try:
            word.encode()
        except UnicodeEncodeError as error:
            raise StackError(f"the argument {word!r} is no UTF-8; write it again") from error


def main() -> None:
    """Run the command; on StackError print its message and exit with status 1."""
    try:
        _check_words(sys.argv[1:])
        saga()
    except StackError as error:
        click.echo(f"saga: {error}", err=True)
        sys.exit(1)
