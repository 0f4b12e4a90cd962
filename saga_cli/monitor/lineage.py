"""Show orders that belong together: `saga batch` and `saga links`."""

from collections.abc import Mapping, Sequence
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.tree import Tree

from saga_cli import client
from saga_cli.declarations import ORDER
from saga_cli.monitor.sagas import ORDER_COLUMNS
from saga_cli.output import coloured, print_table


@click.command()
@click.argument("batch_id", metavar="BATCH")
def batch(batch_id: str) -> None:
    """Show the orders of a batch, with a count for each status."""
    found = client.ask("GET", client.order_path(batch_id, "/batches"))
    print_table(ORDER_COLUMNS, found["orders"])
    counts = ", ".join(f"{n} {status}" for status, n in sorted(found["counts"].items()))
    click.echo(f"{batch_id}: {len(found['orders'])} orders, {counts}")


@click.command()
@ORDER
@click.option("--mermaid", "as_mermaid", is_flag=True, help="Print a Mermaid flowchart.")
def links(order_id: str, as_mermaid: bool) -> None:
    """Show which order caused which."""
    # saga_monitor.storage loads SQLAlchemy, half a second that the help need not take.
    from saga_monitor.storage.lineage import children_by_parent, mermaid

    found = client.ask("GET", client.order_path(order_id, "/links"))
    if as_mermaid:
        click.echo("\n".join(mermaid(found)))
        return
    children = children_by_parent(found)
    (root,) = children[None]
    tree = Tree(_label(root, order_id))
    _grow(tree, root, children, order_id)
    Console().print(tree)


def _grow(
    tree: Tree,
    link: Mapping[str, Any],
    children: Mapping[str | None, Sequence[Mapping[str, Any]]],
    asked: str,
) -> None:
    for child in children.get(link["order_id"], ()):
        _grow(tree.add(_label(child, asked)), child, children, asked)


def _label(link: Mapping[str, Any], asked: str) -> str:
    name = escape(link["order_id"])
    name = f"[bold]{name}[/]" if link["order_id"] == asked else name
    return f"{name}  {coloured(link['status'] or 'not seen')}"
