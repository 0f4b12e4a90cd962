"""What people do to orders on the real stack: a paused one does not ship, and many come at once."""

import json
from typing import Any

import httpx2
import psycopg

from shop.workload import ShopOrder
from shop.workload.orders import FLOW_LABELS
from tests.e2e.orders import assert_all_hold, ledger, post, saga, shop
from tests.e2e.test_late_capture import place
from tests.stack import PATIENCE_S, LiveStack, until

WHO = {"actor": "ada", "reason": "is the address right?"}


def marks(stack: LiveStack, service: str, order_id: str) -> list[str]:
    """What a participant's account of an order says of pauses."""
    with psycopg.connect(stack.database_url(service)) as connection:
        row = connection.execute(
            "SELECT marks FROM inbox WHERE key = %s", [f"order/{order_id}"]
        ).fetchone()
    return list(row[0]) if row else []


def is_paused(stack: LiveStack, order_id: str) -> bool:
    """Some participant does not begin its step."""
    return any("held" in marks(stack, s, order_id) for s in ("inventory", "payment", "shipping"))


def is_published(stack: LiveStack, event: str, order_id: str) -> bool:
    """The event stands on its timeline."""
    return event in [e["type"] for e in saga(stack, order_id).get("timeline", ())]


def wait(stack: LiveStack, event: str, order_id: str) -> None:
    """For an event."""
    until(lambda: is_published(stack, event, order_id), f"{event} of {order_id}")


def test_a_paused_order_does_not_ship_until_it_is_resumed(whole: LiveStack) -> None:
    """While payment is down the order is paused, and shipping has read so: it cannot have begun."""
    whole.stop("payment")
    resumed, cancelled = (
        [place(whole, "tok_ok", flow) for flow in FLOW_LABELS] for _ in ("resumed", "cancelled")
    )
    orders = [*resumed, *cancelled]
    for order_id in orders:
        wait(whole, "OrderPlaced", order_id)
        post(whole, "monitor", "/pauses", {"saga": f"order/{order_id}", **WHO}).raise_for_status()
    for order_id in orders:
        until(
            lambda o=order_id: "paused" in marks(whole, "shipping", o),  # type: ignore[misc]
            f"shipping has read that {order_id} is paused",
        )
    whole.start("payment")
    for order_id in orders:
        until(lambda o=order_id: is_paused(whole, o), f"{order_id} held")  # type: ignore[misc]
        cause = saga(whole, order_id)["blocked_by"]
        assert (cause["kind"], cause["who"]) == ("paused", "ada")
        again = {"saga": f"order/{order_id}", "actor": "bob", "reason": "mine too"}
        answer = post(whole, "monitor", "/pauses", again)
        assert answer.status_code == 409
        assert "by ada: is the address right?" in json.dumps(answer.json())
        assert ledger(whole, "carrier", "labels", order_id) == []
    for order_id in cancelled:
        post(
            whole, "monitor", "/cancellations", {"saga": f"order/{order_id}", **WHO}
        ).raise_for_status()
        wait(whole, "OrderCancelled", order_id)
        assert ledger(whole, "carrier", "labels", order_id) == []
    whole.deadlines.near()
    for order_id in resumed:
        post(
            whole, "monitor", "/resumptions", {"saga": f"order/{order_id}", **WHO}
        ).raise_for_status()
        wait(whole, "ShipmentCreated", order_id)
        wait(whole, "OrderCancelled", order_id)  # nobody picks it up: its deadline runs again
        assert not is_paused(whole, order_id)
    assert_all_hold(whole)


def test_a_batch_of_which_some_cannot_be_placed(whole: LiveStack) -> None:
    """Two good ones, of which one replaces the other; one that is not valid; one in conflict."""
    first, second = shop("plain").orders(2)
    stock(whole, first, second)
    bad = {**body_of(first), "order_id": f"{first.order_id}-bad", "lines": []}
    conflict = {**body_of(first), "ship_to": "elsewhere"}
    good = {**body_of(second), "caused_by": first.order_id}
    batch = {"batch_id": f"b-{first.order_id}", "orders": [body_of(first), bad, conflict, good]}
    answer = post(whole, "order", "/batches", batch).raise_for_status().json()
    # the first and its conflict come at once: whichever is first is placed
    statuses = [r["status"] for r in answer["results"]]
    assert sorted(statuses) == [201, 201, 409, 422]
    assert (statuses[1], statuses[3]) == (422, 201)
    again = post(whole, "order", "/batches", batch).raise_for_status().json()
    assert [r["status"] for r in again["results"]] == [200 if s == 201 else s for s in statuses]
    other = post(whole, "order", "/batches", {**batch, "orders": [bad]})
    assert other.status_code == 409
    url = f"{whole.url('monitor')}/batches/{batch['batch_id']}"

    def ended() -> bool:
        found = httpx2.get(url, headers=whole.headers, trust_env=False, timeout=PATIENCE_S)
        return found.is_success and found.json()["counts"] == {"completed": 2}

    until(ended, "both completed")
    assert saga(whole, first.order_id)["links"]["led_to"] == [f"order/{second.order_id}"]
    assert_all_hold(whole)


def body_of(order: ShopOrder) -> dict[str, Any]:
    """As the order API takes it."""
    body = {**order.facts.to_dict(), "order_id": order.order_id, "flow": order.flow}
    del body["total_minor"]
    return body


def stock(stack: LiveStack, *orders: ShopOrder) -> None:
    """What they need is on hand."""
    for order in orders:
        for line in order.facts.lines:
            wanted = {"sku": line.sku, "quantity": line.quantity, **WHO}
            delivery = {**wanted, "id": f"{order.order_id}:{line.sku}"}
            post(stack, "inventory", "/stock", delivery).raise_for_status()
