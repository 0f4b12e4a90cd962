"""Define the command `saga`; its subcommands live in `saga_cli.monitor` and `saga_cli.lab`.

An application adds commands of its own by its manifest.

A module is imported when its command is used, so `saga show` does not load what `saga up` needs.

Exit status of every command: 0 success; 1 a failure, or an outcome that the command's help names;
2 wrong usage.
"""

import importlib
import sys
from collections.abc import Mapping, Sequence
from io import TextIOWrapper

import click

from saga_cli.application import Misdeclared, application, choose, own_command, own_commands
from saga_lab.devstack.errors import StackError
from sagakit.errors import ConfigurationError, ContractError, FlowError
from sagakit.foreign_text import printable

COMMANDS: Mapping[str, tuple[str, str]] = {
    "new": (
        "lab.new",
        "Write an application of two participants into the new folder NAME, ready to run.",
    ),
    "examples": ("lab.examples", "List the example applications, or run one."),
    "up": (
        "lab.devstack",
        "Start Kafka, PostgreSQL, the fakes of the outside world, every service and the monitor.",
    ),
    "down": ("lab.devstack", "Stop everything that `saga up` started."),
    "ui": ("monitor.ui", "Print a link to the dashboard, which logs in a browser once."),
    "token": ("lab.token", "Make, list and revoke the tokens by which callers log in."),
    "demo": (
        "lab.demo",
        "Place sagas of every kind on a separate stack, and check every invariant.",
    ),
    "wait": ("monitor.wait", "Wait until a saga ends."),
    "show": ("monitor.sagas", "Show one saga: every event, what it awaits, and its balances."),
    "ls": ("monitor.sagas", "List sagas, the newest event first."),
    "cancel": ("monitor.sagas", "Cancel a saga: its steps are undone, the newest first."),
    "pause": ("monitor.sagas", "Pause a saga: no new work starts until it is resumed."),
    "resume": ("monitor.sagas", "Resume a paused saga."),
    "approve": ("monitor.sagas", "Approve a step that waits for a person's decision."),
    "reject": ("monitor.sagas", "Reject a step that waits for a person's decision."),
    "pin": ("monitor.sagas", "Keep a saga out of the history."),
    "unpin": ("monitor.sagas", "Let a pinned saga be moved to the history."),
    "batch": ("monitor.lineage", "Show the sagas of a batch, with a count for each status."),
    "links": ("monitor.lineage", "Show which saga caused which."),
    "interventions": (
        "monitor.interventions",
        "List the interventions that wait for a person, the oldest first, or work on one.",
    ),
    "resolve": ("monitor.interventions", "Resolve an intervention."),
    "evidence": (
        "monitor.interventions",
        "Print everything known about a saga as JSON; in `tests/evidence` it becomes a test.",
    ),
    "flows": ("monitor.flows", "List flow versions with the number of sagas in flight on each."),
    "backtest": (
        "monitor.backtest",
        "Tell what the monitor would have done under an edited flow file.",
    ),
    "reconcile": (
        "monitor.reconcile",
        "Compare the ledgers of the outside world with the participants' books.",
    ),
    "replay": (
        "monitor.replay",
        "Replay the log into the new SHADOW, a projection beside the live one.",
    ),
    "archive": (
        "monitor.archive",
        "Copy what the topics hold to the archive in FOLDER, for replays after they dropped it.",
    ),
    "restore": (
        "monitor.restore",
        "Fill the empty topics from the archive in FOLDER, after they were lost.",
    ),
    "shadows": (
        "monitor.replay",
        "List the shadows in the monitor's database, or drop one.",
    ),
    "diff": (
        "monitor.diff",
        "Compare two projections: `live`, or the names of shadows.",
    ),
    "promote": (
        "monitor.promote",
        "Swap SHADOW with the live projection, in one transaction.",
    ),
    "drill": (
        "lab.drill",
        "Rehearse a disaster: lose a database or a topic under load, recover it, and score that.",
    ),
    "sim": (
        "lab.sim",
        "Simulate sagas with crashes, repeated events and lost answers; check every invariant.",
    ),
    "chaos": (
        "lab.chaos",
        "Inject faults while sagas of every kind run, and check every invariant at the end.",
    ),
    "republish": (
        "lab.republish",
        "Publish again the events that SERVICE published to TOPIC and still keeps (31 days).",
    ),
    "rebuild": (
        "lab.rebuild",
        "Rebuild the lost database of PARTICIPANT from the topics into an empty one.",
    ),
    "skip": (
        "lab.skip",
        "Have every reader pass over a record that ends its process, and open a case for it.",
    ),
}
"""Command -> the module that defines it, as a function of the same name, and the first sentence of
its help. So `saga --help` imports no command; a test holds the two together."""


class _LazyGroup(click.Group):
    """Imports a command when it runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS, *_listed()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            spec = own_commands(COMMANDS).get(cmd_name)
            return own_command(spec) if spec else None
        module, _ = COMMANDS[cmd_name]
        command = getattr(importlib.import_module(f"saga_cli.{module}"), cmd_name)
        assert isinstance(command, click.Command)
        _log_to_stderr()
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, about) for name, (_, about) in COMMANDS.items()])
        if own := _listed():
            with formatter.section("Commands of this application"):
                formatter.write_dl([*own.items()])

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; print expected errors as click prints its own.

        The exit status is 1 for a StackError, 2 for an application that is declared wrongly. Errors
        quote texts of others, so they are made printable here.
        """
        try:
            return super().invoke(ctx)
        except StackError as error:
            raise click.ClickException(printable(str(error))) from error
        except (ConfigurationError, ContractError, FlowError) as error:
            raise Misdeclared(printable(str(error))) from error
        except click.ClickException as error:
            error.message = printable(error.message)
            raise


def _log_to_stderr() -> None:
    """Keep log lines apart from a command's answer, which others may read."""
    if structlog := sys.modules.get("structlog"):  # its import is slow, and many commands log not
        structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))


def _listed() -> Mapping[str, str]:
    """Return the application's commands with their help; none if the manifest cannot be used."""
    try:
        return {name: spec.help for name, spec in own_commands(COMMANDS).items()}
    except ConfigurationError:
        return {}


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="saga-choreography", prog_name="saga")
@click.option(
    "--app",
    metavar="DIR",
    callback=choose,
    is_eager=True,
    help="The application's folder, which has a saga.toml. [default: SAGA_APP, else the working "
    "directory or one above]",
)
def saga(app: str | None) -> None:
    """Run, watch and rehearse choreographed sagas."""
    if app is not None:
        application()


def _check_encoding(arguments: Sequence[str]) -> None:
    """Exit with status 2 for an argument that is not UTF-8: no saga id and no reason can hold it.

    Raises SystemExit.
    """
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            click.echo(f"Error: the argument {argument!r} is not UTF-8; write it again", err=True)
            sys.exit(click.UsageError.exit_code)


def main() -> None:
    """Run the command. Raises SystemExit with the exit status."""
    _check_encoding(sys.argv[1:])
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # None where the caller has closed it
            stream.reconfigure(errors="backslashreplace")  # not every encoding has every character
    saga()
