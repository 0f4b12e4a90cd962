"""List flow versions, and tell if one may be retired: `saga flows`."""

from datetime import UTC, datetime

import click
from rich.console import Console
from rich.table import Table

from saga_cli.client import ask
from saga_cli.sagas import ago


@click.group(invoke_without_command=True)
@click.pass_context
def flows(context: click.Context) -> None:
    """List flow versions with the number of orders in flight on each."""
    if context.invoked_subcommand is not None:
        return
    now = datetime.now(UTC)
    table = Table("flow", "in flight", "ended", "oldest", "age", "", box=None, pad_edge=False)
    for row in ask("GET", "/flows"):
        about = "default" if row["default"] else ""
        counts = (str(row["in_flight"]), str(row["ended"]))
        oldest = (row["oldest"] or "", ago(row["oldest_at"], now))
        table.add_row(row["flow"], *counts, *oldest, about if row["declared"] else "not declared")
    Console().print(table)


@flows.command()
@click.argument("flow", metavar="FLOW")
def retire(flow: str) -> None:
    """Tell if a version such as order/1 may be removed from its flow file.

    Exit status 1, with the reason, while orders are in flight on it.
    """
    answer = ask("GET", "/flows/retirement", params={"flow": flow})
    click.echo(
        f"{flow} has no order in flight ({answer['ended']} ended on it) and may be taken out of "
        "its flow file"
    )
