"""Orders under one number, over HTTP and over Kafka: the log decides which one is carried out."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx2

from sagakit.flow.routing import topic
from sagakit.kafka.publisher import Publisher
from sagakit.messages.envelope import OutboxRow
from schemas.events import OrderPlaced
from shop.workload import ShopOrder
from tests.e2e.orders import assert_all_hold, ledger, post, saga, shop
from tests.e2e.test_operator_commands import body_of, stock
from tests.monitor import CODEC
from tests.stack import PATIENCE_S, LiveStack, until


def publish(stack: LiveStack, order: ShopOrder) -> None:
    """Publish an order in clear, as another system does."""
    placed = OrderPlaced(
        order_id=order.order_id, order=order.facts, placed_at=datetime(2026, 1, 1, tzinfo=UTC)
    )
    headers = (("flow", order.flow.encode()),)
    publisher = Publisher(str(stack.json["bootstrap_servers"]), "another-system")
    publisher.publish(
        [OutboxRow(topic("order"), order.order_id, headers, CODEC.body(placed), id=1)]
    )
    publisher.discard()


def status(stack: LiveStack, order: ShopOrder) -> dict[str, Any]:
    """What the order API says of an order."""
    url = f"{stack.url('order')}/orders/{order.order_id}"
    answer = httpx2.get(
        url, headers=stack.headers, trust_env=False, timeout=PATIENCE_S
    ).raise_for_status()
    found: dict[str, Any] = answer.json()
    return found


def types(stack: LiveStack, order: ShopOrder) -> list[str]:
    """The types of its events."""
    return [entry["type"] for entry in saga(stack, order.order_id)["timeline"]]


def ends(stack: LiveStack, order: ShopOrder, end: str) -> list[str]:
    """Wait until the monitor and the order API say so; return the types of its events."""
    until(lambda: saga(stack, order.order_id)["status"] == end, f"the saga is {end}")
    until(lambda: status(stack, order)["status"] == end, f"the order is {end}")
    return types(stack, order)


def test_what_the_api_took_and_the_log_has_other_content_of_is_carried_out_by_nobody(
    whole: LiveStack,
) -> None:
    # Given an order that the API has taken and could not publish yet
    taken = shop("plain").order(0)
    other = replace(
        taken, facts=replace(taken.facts, customer_id="c-other", ship_to="9 Other Street")
    )
    stock(whole, taken)
    whole.stop("kafka")
    post(whole, "order", "/orders", body_of(taken)).raise_for_status()
    whole.stop("order")
    # When another system publishes other content under its number before the API's goes out
    whole.start("kafka")
    publish(whole, other)
    whole.start("order")
    # Then the log's content is carried out, once, and the API says that its own is not
    ends(whole, taken, "completed")
    until(lambda: "OrderRejected" in types(whole, taken), "what the API took is rejected")
    until(lambda: status(whole, taken).get("taken") is True, "the API says so")
    (charge,) = ledger(whole, "provider", "charges", taken.order_id)
    (label,) = ledger(whole, "carrier", "labels", taken.order_id)
    assert charge["status"] == "captured"
    assert label["ship_to"] == "9 Other Street"
    assert_all_hold(whole)


def test_the_same_order_in_clear_is_a_repetition(whole: LiveStack) -> None:
    # Given an order that the API has sealed and published
    order = shop("plain").order(0)
    stock(whole, order)
    post(whole, "order", "/orders", body_of(order)).raise_for_status()
    until(lambda: saga(whole, order.order_id)["status"] != "unknown", "it is in the log")
    # When another system publishes the same, in clear
    publish(whole, order)
    # Then nobody refuses it, and it is carried out once
    assert "OrderRejected" not in ends(whole, order, "completed")
    assert "taken" not in status(whole, order)
    (_,) = ledger(whole, "provider", "charges", order.order_id)
    (_,) = ledger(whole, "carrier", "labels", order.order_id)
    assert_all_hold(whole)
