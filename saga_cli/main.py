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
    "up": (
        "devstack",
        "Start Kafka, PostgreSQL, the fakes of the outside world, every service and the monitor.",
    ),
    "down": ("devstack", "Stop everything that `saga up` started."),
    "demo": ("demo", "Place orders of every kind on a separate stack, and check every invariant."),
    "place": ("place", "Place one order through the front door and print its id."),
    "wait": ("place", "Wait until an order has ended."),
    "show": ("sagas", "Show one order: every event, what it awaits, and its money."),
    "ls": ("sagas", "List orders, the newest event first."),
    "cancel": (
        "sagas",
        "Undo an order, newest step first; possible until its parcel is picked up.",
    ),
    "pause": ("sagas", "Pause an order: no new work starts until it is resumed."),
    "resume": ("sagas", "Resume a paused order."),
    "approve": ("sagas", "Approve a step that waits for a person's decision."),
    "reject": ("sagas", "Reject a step that waits for a person's decision."),
    "pin": ("sagas", "Pin an order, so that it is not moved to the history."),
    "unpin": ("sagas", "Unpin an order, so that it can be moved to the history."),
    "batch": ("lineage", "Show the orders of a batch, with a count for each status."),
    "links": ("lineage", "Show which order caused which."),
    "interventions": (
        "interventions",
        "List the interventions that wait for a person, the oldest first, or work on one.",
    ),
    "resolve": ("interventions", "Resolve an intervention."),
    "evidence": (
        "interventions",
        "Print all that is known of an order as JSON; saved in `tests/evidence` it becomes a test.",
    ),
    "flows": ("flows", "List flow versions with the number of orders in flight on each."),
    "erase": (
        "erase",
        "Erase a customer's sealed personal data everywhere, by deleting the key that reads it.",
    ),
    "reconcile": (
        "reconcile",
        "Compare the outside's ledgers with our books, and check the stock figures.",
    ),
    "sim": (
        "sim",
        "Simulate worlds with crashes, repeats and lost answers; check every invariant in each.",
    ),
    "chaos": (
        "chaos",
        "Inject faults while orders of every kind run, and check every invariant at the end.",
    ),
    "republish": (
        "republish",
        "Publish again the events that SERVICE published to TOPIC and still keeps (31 days).",
    ),
}
"""Command -> the module of this package that defines it, as a function of the same name, and the
first sentence of its docstring. So the help imports no command; a test holds the two together."""


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
