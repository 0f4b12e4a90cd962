"""Show orders that belong together: `saga batch` and `saga links`."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.tree import Tree

from saga_cli.client import ask
from saga_cli.sagas import ago, coloured
from saga_monitor.storage.lineage import below, mermaid


@click.command()
@click.argument("batch_id", metavar="BATCH")
def batch(batch_id: str) -> None:
    """Show the orders of a batch, with a count for each status."""
    found = ask("GET", f"/batches/{quote(batch_id, safe='')}")
    table = Table("order", "flow", "status", "age", "awaits", box=None, pad_edge=False)
    now = datetime.now(UTC)
    for order in found["orders"]:
        flow = f"{order['flow']}/{order['version']}" if order["version"] else ""
        awaits = escape(order["awaited"] or "")
        age = ago(order["started_at"], now)
        table.add_row(escape(order["order_id"]), flow, coloured(order["status"]), age, awaits)
    counts = ", ".join(f"{n} {status}" for status, n in sorted(found["counts"].items()))
    console = Console()
    console.print(table)
    console.print(f"{escape(batch_id)}: {len(found['orders'])} orders, {counts}")


@click.command()
@click.argument("order_id", metavar="ORDER")
@click.option("--mermaid", "drawn", is_flag=True, help="As a Mermaid flowchart.")
def links(order_id: str, drawn: bool) -> None:
    """Show which order caused which."""
    found = ask("GET", f"/links/{quote(order_id, safe='')}")
    if drawn:
        click.echo("\n".join(mermaid(found)))
        return
    children = below(found)
    (root,) = children[None]
    tree = Tree(_told(root, order_id))
    _grow(tree, root, children, order_id)
    Console().print(tree)


def _grow(tree: Tree, link: Mapping[str, Any], children: Any, asked: str) -> None:
    for child in children.get(link["order_id"], ()):
        _grow(tree.add(_told(child, asked)), child, children, asked)


def _told(link: Mapping[str, Any], asked: str) -> str:
    name = escape(link["order_id"])
    name = f"[bold]{name}[/]" if link["order_id"] == asked else name
    return f"{name}  {coloured(link['status'] or 'not seen')}"
