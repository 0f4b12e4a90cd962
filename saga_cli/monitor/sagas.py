"""Show orders as the monitor sees them, and give commands on them: `saga show`, `ls`, `cancel`."""

from datetime import UTC, datetime

import click
from rich.markup import escape

from saga_cli import client
from saga_cli.answers import BlockedOrderJson, ListedOrderJson, OrderJson
from saga_cli.declarations import LIMIT, ORDER, Listing, person_command, status_option
from saga_cli.monitor.saga_view import blocker_line, saga_view
from saga_cli.output import Column, age, coloured, print_whole, text, until
from saga_monitor.saga.view import Status

STATUS = Column("status", lambda row, _: coloured(row["status"]))
FLOW = Column(
    "flow", lambda row, _: escape(f"{row['flow']}/{row['version']}") if row["version"] else ""
)
DEADLINE = Column("deadline", lambda row, now: until(row["next_deadline"], now))
BLOCKER = Column(
    "blocked by",
    lambda row, now: blocker_line(row["blocked_by"], now) if row["blocked_by"] else "",
    fold=True,
)
ORDER_COLUMNS = (
    text("order", "order_id"),
    FLOW,
    STATUS,
    age("age", "started_at"),
    text("awaits", "awaited"),
)
NEWEST = Listing("/sagas", list[ListedOrderJson], (*ORDER_COLUMNS, DEADLINE), "orders", "newest")
STUCK = Listing(
    "/blocked",
    list[BlockedOrderJson],
    (text("order", "order_id"), STATUS, age("age", "started_at"), DEADLINE, BLOCKER),
    "orders",
    "most overdue",
)
STEP = click.option(
    "--step", default="payment", show_default=True, help="The step that waits for the decision."
)


@click.command()
@ORDER
def show(order_id: str) -> None:
    """Show one order: every event, what it awaits, and its money."""
    found = client.ask("GET", client.order_path(order_id), OrderJson)
    print_whole(saga_view(found, datetime.now(UTC)))


@click.command()
@status_option(Status)
@click.option(
    "--stuck", is_flag=True, help="List only overdue or unplaced orders and open interventions."
)
@click.option("--history", is_flag=True, help="List only orders that were moved to the history.")
@LIMIT
def ls(status: str | None, stuck: bool, history: bool, limit: int) -> None:
    """List orders, the newest event first.

    With --stuck alone, list the most overdue first, with what blocks each.
    """
    if stuck and not (status or history):
        STUCK.print(limit, stuck=True)
    else:
        NEWEST.print(limit, status=status, stuck=stuck, history=history)


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
    "Cancel an order: its steps are undone, the newest first.\n\n"
    "Possible until the parcel is picked up.",
    "/cancellations",
)
pause = person_command(
    "pause",
    "Pause an order: no new work starts until it is resumed.\n\nIt can still be cancelled.",
    "/pauses",
)
resume = person_command("resume", "Resume a paused order.", "/resumptions")
pin = person_command("pin", "Keep an order out of the history.", "/pins/pin")
unpin = person_command("unpin", "Let a pinned order be moved to the history.", "/pins/unpin")
