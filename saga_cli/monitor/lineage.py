"""Show sagas that belong together: `saga batch` and `saga links`."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import click
from rich.console import Console
from rich.markup import escape
from rich.tree import Tree

from saga_cli import client
from saga_cli.declarations import SAGA
from saga_cli.monitor.sagas import SAGA_COLUMNS
from saga_cli.output import coloured, print_table


@click.command()
@click.argument("batch_id", metavar="BATCH")
def batch(batch_id: str) -> None:
    """Show the sagas of a batch, with a count for each status."""
    found = client.ask("GET", f"/batches/{quote(batch_id, safe='')}")
    print_table(SAGA_COLUMNS, found["sagas"])
    counts = ", ".join(f"{n} {status}" for status, n in sorted(found["counts"].items()))
    click.echo(f"{batch_id}: {len(found['sagas'])} sagas, {counts}")


@click.command()
@SAGA
@click.option("--mermaid", "as_mermaid", is_flag=True, help="Print a Mermaid flowchart.")
def links(name: str, as_mermaid: bool) -> None:
    """Show which saga caused which."""
    # saga_monitor.storage loads SQLAlchemy, half a second that the help need not take.
    from saga_monitor.storage.lineage import children_by_parent, mermaid

    key = client.find_saga(name)
    found = client.ask("GET", client.saga_path(key, "/links"))
    if as_mermaid:
        click.echo("\n".join(mermaid(found)))
        return
    children = children_by_parent(found)
    (root,) = children[None]
    tree = Tree(_label(root, key))
    _grow(tree, root, children, key)
    Console().print(tree)


def _grow(
    tree: Tree,
    link: Mapping[str, Any],
    children: Mapping[str | None, Sequence[Mapping[str, Any]]],
    asked: str,
) -> None:
    for child in children.get(link["saga"], ()):
        _grow(tree.add(_label(child, asked)), child, children, asked)


def _label(link: Mapping[str, Any], asked: str) -> str:
    name = escape(link["saga"])
    name = f"[bold]{name}[/]" if link["saga"] == asked else name
    return f"{name}  {coloured(link['status'] or 'not seen')}"
