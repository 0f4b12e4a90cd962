"""Work on cases that only a person can close: `saga interventions`, `resolve`, `evidence`."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import click
import orjson
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from saga_cli.client import ask
from saga_cli.sagas import actor_and_reason, ago
from saga_monitor.saga.interventions import CaseStatus

CODE = click.option("--code", help="Of the case; may be left out where only one can be meant.")


@click.group(invoke_without_command=True)
@click.option("--status", type=click.Choice([s.value for s in CaseStatus]), help="Only these.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@click.pass_context
def interventions(context: click.Context, status: str | None, limit: int) -> None:
    """List the interventions that wait for a person, the oldest first, or work on one."""
    if context.invoked_subcommand is not None:
        return
    wanted = {"limit": limit, **({"status": status} if status else {})}
    rows = ask("GET", "/interventions", params=wanted)
    if not rows:
        click.echo("no such cases" if status else "no open cases")
        return
    now = datetime.now(UTC)
    table = Table("order", "case", "status", "who", "age", "order is", box=None, pad_edge=False)
    table.add_column("reason", overflow="fold")
    for row in rows:
        shown = (row["order_id"], row["code"], row["status"], row["holder"] or "")
        words = (*shown, ago(row["opened_at"], now), row["saga"], row["reason"])
        table.add_row(*(escape(word) for word in words))
    Console().print(table)
    if len(rows) == limit:
        click.echo(f"the oldest {limit}; --limit shows more")


@interventions.command("open")
@click.argument("order_id", metavar="ORDER")
@CODE
@actor_and_reason
def open_case(order_id: str, code: str | None, actor: str, reason: str) -> None:
    """Open an intervention; its code is `manual` if none is given."""
    work("open", order_id, code, actor, reason)


@interventions.command()
@click.argument("order_id", metavar="ORDER")
@CODE
@click.option("--from", "taken_from", help="Take it over from this person.")
@actor_and_reason
def claim(order_id: str, code: str | None, taken_from: str | None, actor: str, reason: str) -> None:
    """Claim an intervention, which shows others that you work on it."""
    work("claim", order_id, code, actor, reason, taken_from=taken_from)


@interventions.command()
@click.argument("order_id", metavar="ORDER")
@CODE
@actor_and_reason
def note(order_id: str, code: str | None, actor: str, reason: str) -> None:
    """Add a note to an intervention."""
    work("note", order_id, code, actor, reason)


@interventions.command()
@click.argument("order_id", metavar="ORDER")
@CODE
@actor_and_reason
def reopen(order_id: str, code: str | None, actor: str, reason: str) -> None:
    """Reopen a resolved intervention."""
    work("reopen", order_id, code, actor, reason)


@click.command()
@click.argument("order_id", metavar="ORDER")
@CODE
@actor_and_reason
def resolve(order_id: str, code: str | None, actor: str, reason: str) -> None:
    """Resolve an intervention. The monitor continues its own retries."""
    work("resolve", order_id, code, actor, reason)


@click.command()
@click.argument("order_id", metavar="ORDER")
def evidence(order_id: str) -> None:
    """Print all that is known of an order as JSON; saved in `tests/evidence` it becomes a test."""
    document = ask("GET", f"/evidence/{quote(order_id, safe='')}")
    click.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2))


def work(deed: str, order_id: str, code: str | None, actor: str, reason: str, **more: Any) -> None:
    """Send a command to the monitor, and print the event that it became."""
    body = {"order_id": order_id, "code": code, "actor": actor, "reason": reason, **more}
    said = ask("POST", f"/interventions/{deed}", json=body)
    click.echo(f"{said['event']} {said['id']} is on its way; `saga show {order_id}` follows it")
