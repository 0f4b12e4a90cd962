"""Show sagas that belong together: `saga batch` and `saga links`."""

from collections.abc import Mapping
from typing import Any

import click
from rich.markup import escape
from rich.tree import Tree

from saga_cli import client
from saga_cli.answers import BatchJson, link_mismatch
from saga_cli.declarations import ID, SAGA
from saga_cli.monitor.sagas import SAGA_COLUMNS
from saga_cli.output import coloured, print_table, print_whole


@click.command()
@click.argument("batch_id", metavar="BATCH", type=ID)
def batch(batch_id: str) -> None:
    """Show the sagas of a batch, with a count for each status."""
    found = client.ask("GET", f"/batches/{client.segment(batch_id)}", BatchJson)
    print_table(SAGA_COLUMNS, found["sagas"])
    counts = ", ".join(f"{n} {status}" for status, n in sorted(found["counts"].items()))
    click.echo(f"{batch_id}: {len(found['sagas'])} sagas, {counts}")


@click.command()
@SAGA
@click.option("--mermaid", "as_mermaid", is_flag=True, help="Print a Mermaid flowchart.")
def links(name: str, as_mermaid: bool) -> None:
    """Show which saga caused which."""
    # saga_monitor.storage loads SQLAlchemy, half a second that the help need not take.
    from saga_monitor.storage.lineage import mermaid

    key = client.find_saga(name)
    found = client.ask("GET", client.saga_path(key, "/links"), link_mismatch)
    if as_mermaid:
        click.echo("\n".join(mermaid(found)))
        return
    root, *others = found  # each after the one that caused it
    trees = {root["saga"]: Tree(_label(root, key))}
    for link in others:
        trees[link["saga"]] = trees[link["caused_by"]].add(_label(link, key))
    print_whole(trees[root["saga"]])


def _label(link: Mapping[str, Any], asked: str) -> str:
    name = escape(link["saga"])
    name = f"[bold]{name}[/]" if link["saga"] == asked else name
    return f"{name}  {coloured(link['status'] or 'not seen')}"
