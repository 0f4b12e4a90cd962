"""Define the command `saga`; its subcommands live in the modules of this package.

A module is imported when its command is used or listed, so `saga show` does not load what `saga up`
needs.
"""

import importlib
import sys
from collections.abc import Mapping, Sequence

import click

from saga_lab.devstack.errors import StackError

COMMANDS: Mapping[str, tuple[str, str]] = {
    "up": ("devstack", "Start Kafka, PostgreSQL, the fakes, every service and the monitor."),
    "down": ("devstack", "Stop what `saga up` started. All data is kept."),
    "demo": ("demo", "Place orders of every kind and check every invariant."),
    "place": ("place", "Place one order and print its id."),
    "wait": ("place", "Wait until an order has ended."),
    "show": ("sagas", "Show one order: every event, what it waits for, the money."),
    "ls": ("sagas", "List orders, the newest event first."),
    "cancel": ("sagas", "Have an order undone, newest step first."),
    "pause": ("sagas", "Begin nothing new of an order until it is resumed."),
    "resume": ("sagas", "Let a paused order go on."),
    "approve": ("sagas", "Say yes where a step waits for a person."),
    "reject": ("sagas", "Say no where a step waits for a person."),
    "pin": ("sagas", "Keep an order out of the archive."),
    "unpin": ("sagas", "Let an order be archived again."),
    "batch": ("lineage", "Show the orders of a batch and their statuses."),
    "links": ("lineage", "Show which order led to which."),
    "interventions": ("interventions", "List the cases that wait for a person, or work on one."),
    "resolve": ("interventions", "Close a case."),
    "evidence": ("interventions", "Print all there is to know of an order, as JSON."),
    "flows": ("flows", "List flow versions with the orders in flight on each."),
    "erase": ("erase", "Erase a customer's personal data."),
    "reconcile": ("reconcile", "Compare the ledgers of the outside with our books."),
    "sim": ("sim", "Play simulated worlds with faults and check every invariant."),
    "gameday": ("chaos", "Break real processes while orders run and check every invariant."),
    "republish": ("republish", "Publish again what a service has published and still keeps."),
}
"""Command -> the module of this package that defines it, as a function of the same name, and the
line that the help says of it. So the help imports no command."""


class _LazyGroup(click.Group):
    """Imports a command when it runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _ = COMMANDS[cmd_name]
        command = getattr(importlib.import_module(f"saga_cli.{module}"), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, told) for name, (_, told) in COMMANDS.items()])


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
