"""How linked orders are drawn."""

from typing import Any

import pytest
from click.testing import CliRunner

from saga_cli import client
from saga_cli.monitor import lineage as commands
from saga_monitor.storage.lineage import children_by_parent, mermaid


def link(saga: str, caused_by: str | None = None, status: str | None = "completed") -> Any:
    return {"saga": saga, "caused_by": caused_by, "status": status}


FAMILY = [
    link("t/a", status=None),
    link("t/b", "t/a"),
    link("t/c", "t/a", "cancelled"),
    link("t/d", "t/c"),
]


def test_linked_orders_are_drawn_as_a_mermaid_flowchart() -> None:
    assert list(mermaid([*FAMILY[:2], link('<"&', "t/a")])) == [
        "flowchart LR",
        '    s0["t/a<br>not seen"]',
        '    s1["t/b<br>completed"]',
        '    s2["&lt;&quot;&amp;<br>completed"]',
        "    s0 --> s1",
        "    s0 --> s2",
    ]


def test_each_order_is_listed_below_the_order_that_caused_it() -> None:
    found = children_by_parent(FAMILY)
    assert {by: [x["saga"] for x in those] for by, those in found.items()} == {
        None: ["t/a"],
        "t/a": ["t/b", "t/c"],
        "t/c": ["t/d"],
    }


def test_linked_orders_are_printed_as_a_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "find_saga", lambda name: name)
    monkeypatch.setattr(client, "ask", lambda *_, **__: FAMILY)
    result = CliRunner().invoke(commands.links, ["t/c"])
    assert result.exit_code == 0, result.output
    assert [line.rstrip() for line in result.output.splitlines()] == [
        "t/a  not seen",
        "├── t/b  completed",
        "└── t/c  cancelled",
        "    └── t/d  completed",
    ]
    drawn = CliRunner().invoke(commands.links, ["t/c", "--mermaid"]).output
    assert drawn.startswith("flowchart LR\n")


def test_the_orders_of_a_batch_are_listed_with_their_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    row = {"flow": "order/1", "status": "running", "started_at": None, "awaited": "x"}
    sagas = [{**row, "saga": "order/a"}, {**row, "saga": "order/b", "flow": None}]
    found = {"batch_id": "b1", "counts": {"running": 2}, "sagas": sagas}
    monkeypatch.setattr(client, "ask", lambda *_, **__: found)
    result = CliRunner().invoke(commands.batch, ["b1"])
    assert result.exit_code == 0, result.output
    assert "order/1  running" in result.output
    assert result.output.endswith("b1: 2 sagas, 2 running\n")
