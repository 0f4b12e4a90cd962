"""Batches and links between orders, as a real monitor reads them off the log."""

import uuid
from dataclasses import replace
from typing import Any

import httpx2
from click.testing import CliRunner

from saga_cli.monitor.lineage import batch, links
from saga_cli.monitor.sagas import show
from tests.monitor import EventPublisher, MonitorProcess, keys_of, placed, whole
from tests.stack import PATIENCE_S, until


def test_the_monitor_shows_the_orders_of_a_batch_and_the_links_between_orders(
    running: MonitorProcess, publisher: EventPublisher
) -> None:
    """b replaces a, c and d replace b; x and y name each other."""
    tag = uuid.uuid4().hex[:8]
    a, b, c, d, x, y = (f"{name}-{tag}" for name in "abcdxy")
    orders: dict[str, dict[str, Any]] = {
        b: {"caused_by": a, "batch_id": tag},
        c: {"caused_by": b, "batch_id": tag},
        d: {"caused_by": b},
        x: {"caused_by": y},
        y: {"caused_by": x},
    }
    publisher.publish_events(*whole(a))
    for order_id, more in orders.items():
        publisher.publish_events(replace(placed(order_id), **more))
    until(lambda: all(running.status(o) for o in (a, *orders)), "all read")
    until(lambda: running.status(a) == "completed", "a completed")

    found = running.get(f"/batches/{tag}")
    assert found["counts"] == {"running": 2}
    assert [row["id"] for row in found["sagas"]] == [b, c]
    assert httpx2.get(f"{running.url}/batches/never-seen", timeout=PATIENCE_S).status_code == 404

    a_, b_, c_, d_ = keys_of((a, b, c, d))
    family = [(a_, None), (b_, a_), (c_, b_), (d_, b_)]
    for order_id in (a, b, d):
        tree = running.get(f"/links/order/{order_id}")
        assert sorted((link["saga"], link["caused_by"]) for link in tree) == sorted(
            family, key=lambda pair: pair[0]
        )
        assert {link["saga"]: link["status"] for link in tree}[a_] == "completed"
    assert len(running.get(f"/links/order/{x}")) == 2, "a circle ends"
    assert (
        httpx2.get(f"{running.url}/links/order/never-seen", timeout=PATIENCE_S).status_code == 404
    )

    seen = running.saga(b)
    assert seen is not None
    assert {**seen["links"], "led_to": set(seen["links"]["led_to"])} == {
        "batch_id": tag,
        "caused_by": a_,
        "led_to": {c_, d_},
    }
    env = {"SAGA_MONITOR_URL": running.url, "COLUMNS": "200"}
    shown = CliRunner().invoke(show, [b], env=env).output
    assert f"in batch {tag}\ncaused by {a_}\nled to order/" in shown
    assert f"└── {b_}  running" in CliRunner().invoke(links, [c], env=env).output
    assert "2 sagas, 2 running" in CliRunner().invoke(batch, [tag], env=env).output
