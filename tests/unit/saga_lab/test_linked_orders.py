"""How linked orders are drawn."""

from typing import Any

import pytest
from click.testing import CliRunner

from saga_cli import client
from saga_cli.monitor import lineage as commands
from saga_monitor.storage.lineage import mermaid


def link(order_id: str, caused_by: str | None = None, status: str | None = "completed") -> Any:
    return {"order_id": order_id, "caused_by": caused_by, "status": status}


FAMILY = [link("a", status=None), link("b", "a"), link("c", "a", "cancelled"), link("d", "c")]


def test_linked_orders_are_drawn_as_a_mermaid_flowchart() -> None:
    assert list(mermaid([*FAMILY[:2], link('<"&', "a")])) == [
        "flowchart LR",
        '    o0["a<br>not seen"]',
        '    o1["b<br>completed"]',
        '    o2["&lt;&quot;&amp;<br>completed"]',
        "    o0 --> o1",
        "    o0 --> o2",
    ]


def test_linked_orders_are_printed_as_a_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "ask", lambda *_, **__: FAMILY)
    result = CliRunner().invoke(commands.links, ["c"])
    assert result.exit_code == 0, result.output
    assert [line.rstrip() for line in result.output.splitlines()] == [
        "a  not seen",
        "├── b  completed",
        "└── c  cancelled",
        "    └── d  completed",
    ]
    drawn = CliRunner().invoke(commands.links, ["c", "--mermaid"]).output
    assert drawn.startswith("flowchart LR\n")


def test_the_orders_of_a_batch_are_listed_with_their_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    row = {"flow": "order", "version": 1, "status": "running", "started_at": None, "awaited": "x"}
    orders = [{**row, "order_id": "a"}, {**row, "order_id": "b", "version": None}]
    found = {"batch_id": "b1", "counts": {"running": 2}, "orders": orders}
    monkeypatch.setattr(client, "ask", lambda *_, **__: found)
    result = CliRunner().invoke(commands.batch, ["b1"])
    assert result.exit_code == 0, result.output
    assert "order/1  running" in result.output
    assert result.output.endswith("b1: 2 orders, 2 running\n")
