"""Work on what only a person can close: `saga interventions`, `resolve`, `evidence`."""

from typing import Any

import click
import orjson

from saga_cli import client
from saga_cli.answers import ListedInterventionJson
from saga_cli.declarations import LIMIT, SAGA, Listing, person_command, status_option
from saga_cli.output import age, text
from saga_monitor.saga.interventions import InterventionStatus
from sagakit.foreign_text import printable

OLDEST = Listing(
    "/interventions",
    list[ListedInterventionJson],
    (
        text("saga", "saga"),
        text("code", "code"),
        text("status", "status"),
        text("claimed by", "holder"),
        age("age", "opened_at"),
        text("saga is", "saga_status"),
        text("reason", "reason", fold=True),
    ),
    "interventions",
    "oldest",
)
CODE = click.option(
    "--code", help="Code of the intervention; needed only where the saga has several."
)
TAKE_OVER = click.option("--from", "taken_from", help="Take it over from this person.")


@click.group(invoke_without_command=True)
@status_option(InterventionStatus)
@LIMIT
@click.pass_context
def interventions(context: click.Context, status: str | None, limit: int) -> None:
    """List the interventions that wait for a person, the oldest first, or work on one."""
    if context.invoked_subcommand is None:
        OLDEST.print(limit, status=status)


for _command in (
    person_command(
        "open",
        "Open an intervention; its code is `manual` if none is given.",
        "/interventions/open",
        CODE,
    ),
    person_command(
        "claim",
        "Claim an intervention, which shows others that you work on it.",
        "/interventions/claim",
        CODE,
        TAKE_OVER,
    ),
    person_command("note", "Add a note to an intervention.", "/interventions/note", CODE),
    person_command("reopen", "Reopen a resolved intervention.", "/interventions/reopen", CODE),
):
    interventions.add_command(_command)

resolve = person_command(
    "resolve",
    "Resolve an intervention. The monitor continues its own retries.",
    "/interventions/resolve",
    CODE,
)


@click.command()
@SAGA
def evidence(name: str) -> None:
    """Print everything known about a saga as JSON; in `tests/evidence` it becomes a test."""
    path = client.saga_path(client.find_saga(name), "/evidence")
    document = client.call(client.MONITOR, "GET", path, dict[str, Any]).exact
    click.echo(printable(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode()))
