"""Declare a command of the monitor: its arguments, and the list it prints or the event it asks for.

A list is declared by its path and columns, a person's command by its path and arguments. How they
are sent, printed and refused is written here once.
"""

import getpass
import math
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from saga_cli import client
from saga_cli.answers import AcceptedCommandJson
from saga_cli.output import Column, print_table
from saga_monitor.saga.times import read_time
from sagakit.flow.toml_values import seconds
from sagakit.identity import id_fault

F = TypeVar("F", bound=Callable[..., Any])
Parameter = Callable[[click.Command], click.Command]

MAX_ID_CHARS = 255


class IdType(click.ParamType):
    """Takes the id of a saga, batch, person or flow version: no other text can be one."""

    name = "id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the id. Raises UsageError."""
        if fault := id_fault(value, MAX_ID_CHARS):
            self.fail(f"{value[:40]!a} is not an id: it {fault}", param, ctx)
        return str(value)


class FiniteRange(click.FloatRange):
    """Takes a number within limits, neither `inf` nor `nan`, which no comparison excludes."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the number. Raises UsageError."""
        found: float = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"{value!r} is not a number with an end; write for example 60", param, ctx)
        return found


class Duration(click.ParamType):
    """Parses a duration such as `90s`, `5m` or `1h` into seconds.

    least_s, most_s: its limits.
    """

    name = "duration"

    def __init__(self, least_s: float = 0.0, most_s: float = math.inf) -> None:
        self._least_s, self._most_s = least_s, most_s

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the seconds, see `sagakit.flow.toml_values.seconds`. Raises UsageError."""
        try:
            found = value if isinstance(value, float) else seconds(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if found < self._least_s:
            self.fail(f"{value!r} is too short; write at least {self._least_s:g}s", param, ctx)
        if found > self._most_s:
            self.fail(f"{value!r} is too long; write at most {self._most_s:g}s", param, ctx)
        return found


class Moment(click.ParamType):
    """Parses a time: ISO 8601 with a zone, or a duration such as `15m` for as long ago."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Return the time, in UTC. Raises UsageError."""
        if isinstance(value, datetime):
            return value
        try:
            ago_s = seconds(value)
        except ValueError:
            ago_s = None
        try:
            return read_time(value) if ago_s is None else datetime.now(UTC) - timedelta(0, ago_s)
        except ValueError as error:
            self.fail(f"{error}, or 15m for 15 minutes ago", param, ctx)


ID = IdType()
SAGA = click.argument("name", metavar="SAGA", type=ID)
LIMIT = click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=50,
    show_default=True,
    help="Rows to list at most.",
)


class LateChoice(click.ParamType):
    """Takes one of several words, which are loaded only when one is given: the help needs none."""

    name = "choice"

    def __init__(self, words: Callable[[], Sequence[str]]) -> None:
        self._words = words

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the word. Raises UsageError, which lists the words there are."""
        return click.Choice(self._words()).convert(value, param, ctx)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the words that begin so."""
        return click.Choice(self._words()).shell_complete(ctx, param, incomplete)


def status_option(statuses: type[StrEnum]) -> Callable[[F], F]:
    """Return the option --status, which takes one of these statuses."""
    return click.option(
        "--status", type=click.Choice([s.value for s in statuses]), help="List only this status."
    )


def actor_and_reason(command: F) -> F:
    """Add the options --actor and --reason, which go into the event that the command becomes."""
    actor = click.option("--actor", default=_user, help="Who you are. [default: your user name]")
    reason = click.option("--reason", required=True, help="Why; it is kept in the log.")
    return actor(reason(command))


def _user() -> str:
    """Return the name of the user. Raises UsageError where the user id has none, as in a pod."""
    try:
        return getpass.getuser()
    except (KeyError, OSError) as error:
        raise click.UsageError("your user has no name here; give --actor") from error


@dataclass(frozen=True, slots=True)
class Listing:
    """A list of the monitor's API: its path, the shape of its JSON, and the columns.

    `noun`: what the rows are, in the plural; `first`: which rows come first.
    """

    path: str
    shape: Any
    columns: Sequence[Column]
    noun: str
    first: str = "first"

    def print(self, limit: int | None = None, **filters: Any) -> None:
        """Ask for the list and print it. A filter that is None or False is not sent."""
        given = {name: value for name, value in filters.items() if value}
        params = given if limit is None else {"limit": limit, **given}
        rows = client.ask("GET", self.path, self.shape, params=params)
        if not rows:
            click.echo(f"no {self.noun} match" if given else f"no {self.noun}")
            return
        print_table(self.columns, rows)
        if len(rows) == limit:
            click.echo(f"the {limit} {self.first} {self.noun}; --limit lists more")


def person_command(
    name: str, about: str, path: str, *parameters: Parameter, **fixed: str
) -> click.Command:
    """Return a command that a person gives on a saga, with actor and reason.

    about: the help; path: where it is posted; parameters: further options, sent by their names;
    fixed: further fields of the body.
    """

    @click.command(name, help=about)
    @SAGA
    @actor_and_reason
    def command(name: str, **given: Any) -> None:
        body = {"saga": client.find_saga(name), **given, **fixed}
        accepted = client.ask("POST", path, AcceptedCommandJson, json=body)
        click.echo(
            f"accepted: {accepted['event']} {accepted['id']}; "
            f"`saga show {shlex.quote(name)}` shows it once it is in the log"
        )

    for parameter in reversed(parameters):
        command = parameter(command)
    return command
