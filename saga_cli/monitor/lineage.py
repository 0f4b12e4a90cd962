"""Show orders that belong together: `saga batch` and `saga links`."""

from collections.abc import Mapping
from typing import Any

import click
from rich.markup import escape
from rich.tree import Tree

from saga_cli import client
from saga_cli.answers import BatchJson, link_mismatch
from saga_cli.declarations import ID, ORDER
from saga_cli.monitor.sagas import ORDER_COLUMNS
from saga_cli.output import coloured, print_table, print_whole


@click.command()
@click.argument("batch_id", metavar="BATCH", type=ID)
def batch(batch_id: str) -> None:
    """Show the orders of a batch, with a count for each status."""
    found = client.ask("GET", client.order_path(batch_id, "/batches"), BatchJson)
    print_table(ORDER_COLUMNS, found["orders"])
    counts = ", ".join(f"{n} {status}" for status, n in sorted(found["counts"].items()))
    click.echo(f"{batch_id}: {len(found['orders'])} orders, {counts}")


@click.command()
@ORDER
@click.option("--mermaid", "as_mermaid", is_flag=True, help="Print a Mermaid flowchart.")
def links(order_id: str, as_mermaid: bool) -> None:
    """Show which order caused which."""
    # saga_monitor.storage loads SQLAlchemy, half a second that the help need not take.
    from saga_monitor.storage.lineage import mermaid

    found = client.ask("GET", client.order_path(order_id, "/links"), link_mismatch)
    if as_mermaid:
        click.echo("\n".join(mermaid(found)))
        return
    root, *others = found  # each after the one that caused it
    trees = {root["order_id"]: Tree(_label(root, order_id))}
    for link in others:
        trees[link["order_id"]] = trees[link["caused_by"]].add(_label(link, order_id))
    print_whole(trees[root["order_id"]])


def _label(link: Mapping[str, Any], asked: str) -> str:
    name = escape(link["order_id"])
    name = f"[bold]{name}[/]" if link["order_id"] == asked else name
    return f"{name}  {coloured(link['status'] or 'not seen')}"
