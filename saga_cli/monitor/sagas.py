"""Show sagas as the monitor sees them, and give commands on them: `saga show`, `ls`, `cancel`."""

from datetime import UTC, datetime

import click

from saga_cli import client
from saga_cli.answers import BlockedSagaJson, ListedSagaJson, SagaJson, SearchJson
from saga_cli.declarations import LIMIT, SAGA, Listing, Moment, person_command, status_option
from saga_cli.monitor.saga_view import blocker_line, saga_view
from saga_cli.output import Column, age, coloured, print_table, print_whole, text, until
from saga_monitor.saga.time_travel import Basis
from saga_monitor.saga.times import utc_text
from saga_monitor.saga.view import Status

STATUS = Column("status", lambda row, _: coloured(row["status"]))
FLOW = text("flow", "flow")
DEADLINE = Column("deadline", lambda row, now: until(row["next_deadline"], now))
BLOCKER = Column(
    "blocked by",
    lambda row, now: blocker_line(row["blocked_by"], now) if row["blocked_by"] else "",
    fold=True,
)
SAGA_COLUMNS = (
    text("saga", "saga"),
    FLOW,
    STATUS,
    age("age", "started_at"),
    text("awaits", "awaited"),
)
NEWEST = Listing("/sagas", list[ListedSagaJson], (*SAGA_COLUMNS, DEADLINE), "sagas", "newest")
STUCK = Listing(
    "/blocked",
    list[BlockedSagaJson],
    (text("saga", "saga"), STATUS, age("age", "started_at"), DEADLINE, BLOCKER),
    "sagas",
    "most overdue",
)
STEP = click.option(
    "--step", help="The step that waits for the decision. [default: the only one that waits]"
)


@click.command()
@SAGA
@click.option(
    "--at",
    type=Moment(),
    help="Show it as the log knew it then: a time with its zone, such as 2026-11-26T05:28:41Z, or "
    "15m for 15 minutes ago.",
)
@click.option(
    "--as-known", is_flag=True, help="With --at: show it as the monitor had read it by then."
)
def show(name: str, at: datetime | None, as_known: bool) -> None:
    """Show one saga: every event, what it awaits, and its balances."""
    if as_known and at is None:
        raise click.UsageError("--as-known says how to look back; give --at with a time as well")
    point = {}
    if at is not None:
        point = {"at": utc_text(at), "basis": Basis.READ if as_known else Basis.LOG}
    found = client.ask("GET", client.saga_path(client.find_saga(name)), SagaJson, params=point)
    print_whole(saga_view(found, at or datetime.now(UTC)))


@click.command()
@status_option(Status)
@click.option(
    "--stuck", is_flag=True, help="List only overdue or unplaced sagas and open interventions."
)
@click.option("--history", is_flag=True, help="List only sagas that were moved to the history.")
@click.option("--flow", help="List only sagas of the flow with this name.")
@click.option(
    "--query",
    "-q",
    help="List only what fits, such as 'is:stuck age>2h' (docs/how-to/watch-sagas.md).",
)
@LIMIT
def ls(
    status: str | None,
    stuck: bool,
    history: bool,
    flow: str | None,
    query: str | None,
    limit: int,
) -> None:
    """List sagas, the newest event first.

    With --stuck alone, list the most overdue first, with what blocks each.
    """
    if query is not None:
        _search(query, limit, history=history, others=bool(status or stuck or flow))
    elif stuck and not (status or history or flow):
        STUCK.print(limit, stuck=True)
    else:
        NEWEST.print(limit, status=status, stuck=stuck, history=history, flow=flow)


def _search(query: str, limit: int, *, history: bool, others: bool) -> None:
    """List what a query finds, and say how many fit in all."""
    if others:
        raise click.UsageError(
            "--query says all of it: write status:..., is:stuck or flow:... in the query"
        )
    wanted = {"q": query, "limit": limit, "history": history}
    found = client.ask("GET", "/search", SearchJson, params=wanted)
    if not found["sagas"]:
        click.echo("no sagas match")
        return
    print_table(NEWEST.columns, found["sagas"])
    if found["next"]:
        least = " or more" if found["more"] else ""
        click.echo(f"{found['count']}{least} sagas match; --limit lists more")


approve = person_command(
    "approve",
    "Approve a step that waits for a person's decision.",
    "/verdicts",
    STEP,
    verdict="approve",
)
reject = person_command(
    "reject",
    "Reject a step that waits for a person's decision.",
    "/verdicts",
    STEP,
    verdict="reject",
)
cancel = person_command(
    "cancel",
    "Cancel a saga: its steps are undone, the newest first.\n\nPossible until its pivot is done.",
    "/cancellations",
)
pause = person_command(
    "pause",
    "Pause a saga: no new work starts until it is resumed.\n\nIt can still be cancelled.",
    "/pauses",
)
resume = person_command("resume", "Resume a paused saga.", "/resumptions")
pin = person_command("pin", "Keep a saga out of the history.", "/pins/pin")
unpin = person_command("unpin", "Let a pinned saga be moved to the history.", "/pins/unpin")
