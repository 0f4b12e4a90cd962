"""One order is one trace, across services, outboxes, effects and late webhooks, as a collector
receives it from the real processes; and their logs name it."""

import json
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from saga_lab.devstack.options import StackOptions
from saga_lab.workload.deadlines import far
from sagakit.kafka.publisher import Publisher
from sagakit.messages.envelope import OutboxRow
from sagakit.messages.trace_ids import trace_of
from schemas import FLOWS
from schemas.events import OrderPlaced
from tests.e2e.orders import post, saga
from tests.monitor import CODEC, FACTS
from tests.otlp_collector import Collector, Seen, collector
from tests.stack import LiveStack, live_stack, until

CALLER = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture(scope="module")
def received() -> Iterator[Collector]:
    with collector() as found:
        yield found


@pytest.fixture(scope="module")
def traced(received: Collector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStack]:
    env = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": received.endpoint,
        "OTEL_BSP_SCHEDULE_DELAY": "200",
        "SAGA_DEADLINES": json.dumps(far(FLOWS)),
    }
    options = StackOptions(port_base=0, env=env)
    with live_stack(tmp_path_factory.mktemp("traced"), options) as stack:
        stock = {"sku": FACTS.lines[0].sku, "quantity": 100, "id": str(uuid.uuid4())}
        why = {"actor": "ada", "reason": "stock"}
        post(stack, "inventory", "/stock", {**stock, **why}).raise_for_status()
        yield stack


def place(stack: LiveStack, card: str, ship_to: str, *headers: tuple[str, bytes]) -> str:
    """An order from outside."""
    order_id = f"t-{uuid.uuid4().hex[:8]}"
    facts = replace(FACTS, card_token=card, ship_to=ship_to)
    placed = OrderPlaced(order_id=order_id, order=facts, placed_at=datetime.now(UTC))
    row = OutboxRow("order.events", order_id, headers, CODEC.body(placed), 1)
    Publisher(stack.json["bootstrap_servers"], "outside").publish([row])
    return order_id


def ends(stack: LiveStack, order_id: str, status: str) -> None:
    until(lambda: saga(stack, order_id)["status"] == status, f"{order_id} {status}")


def whole_tree(received: Collector, order_id: str, *names: str) -> list[Seen]:
    """The spans of an order once those of these names are there; one trace, one root, and no span
    whose parent is not there."""

    def complete() -> bool:
        spans = received.of(order_id)
        known = {s.span for s in spans}
        here = {s.name for s in spans}
        return here >= set(names) and all(not s.parent or s.parent in known for s in spans)

    try:
        until(complete, f"spans of {order_id}")
    finally:
        for s in received.of(order_id):
            print(s.service, s.kind, s.name, s.span, "<-", s.parent)
    spans = received.of(order_id)
    assert {s.trace for s in spans} == {trace_of(f"order/{order_id}")}
    assert [s.name for s in spans if not s.parent] == ["saga"]
    return spans


def test_an_order_is_one_tree_though_its_money_comes_by_a_late_webhook(
    traced: LiveStack, received: Collector
) -> None:
    traceparent = ("traceparent", f"00-{CALLER}-b7ad6b7169203331-01".encode())
    order_id = place(traced, "tok_async:3", "1 Main Street [500:1]", traceparent)
    ends(traced, order_id, "completed")
    spans = whole_tree(
        *(received, order_id, "saga", "webhook payment", "webhook shipping", "label shipping"),
        *("charge payment", "mail notification", "send notification.events"),
        *("process payment.events", "process order.events", "process shipping.events"),
    )
    by_id = {s.span: s for s in spans}
    [root] = [s for s in spans if not s.parent]
    assert root.links == (CALLER,)
    assert {s.service for s in spans} == {
        *("order", "inventory", "payment", "shipping", "notification")
    }
    [paid] = [s for s in spans if s.attributes.get("saga.event.type") == "PaymentCaptured"]
    assert (paid.kind, by_id[paid.parent].name) == ("PRODUCER", "webhook payment")
    assert by_id[paid.parent].kind == "SERVER"
    labels = [s for s in spans if s.name == "label shipping"]
    assert {(s.kind, s.failed) for s in labels} == {("CLIENT", True), ("CLIENT", False)}
    event_id = next(
        e["event_id"] for e in saga(traced, order_id)["timeline"] if e["type"] == "PaymentCaptured"
    )
    [shipped] = [s for s in spans if s.parent == paid.span and s.service == "shipping"]
    assert {s.parent for s in labels} == {shipped.span}
    assert (
        shipped.attributes.items()
        >= {
            "messaging.system": "kafka",
            "messaging.operation.type": "process",
            "messaging.operation.name": "process",
            "messaging.destination.name": "payment.events",
            "messaging.consumer.group.name": "shipping",
            "messaging.message.id": event_id,
            "messaging.kafka.message.key": order_id,
        }.items()
    )
    assert paid.span == uuid.UUID(event_id).hex[16:]


def test_a_span_of_the_monitor_is_a_child_of_the_event_it_is_about(
    traced: LiveStack, received: Collector
) -> None:
    traced.deadlines.near()
    order_id = place(traced, "tok_ok", "1 Main Street [no-pickup]")
    ends(traced, order_id, "cancelled")
    traced.deadlines.far()
    spans = whole_tree(received, order_id, "send saga.events", "refund payment")
    by_id = {s.span: s for s in spans}
    asked = next(s for s in spans if s.name == "send saga.events")
    assert asked.service == "monitor"
    assert by_id[asked.parent].attributes["saga.event.type"] == "ShipmentCreated"


def test_logs_about_an_order_name_it_its_trace_and_the_event(traced: LiveStack) -> None:
    order_id = place(traced, "tok_500:2", "1 Main Street")
    ends(traced, order_id, "completed")
    lines = _lines(Path(traced.process("payment").log), order_id)
    [first, *_] = [line for line in lines if line["event"] == "effect will be retried"]
    assert (first["saga"], first["trace_id"]) == (
        f"order/{order_id}",
        trace_of(f"order/{order_id}"),
    )
    events = {e["event_id"] for e in saga(traced, order_id)["timeline"]}
    assert first["event_id"] in events


def _lines(log: Path, order_id: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in log.read_text().splitlines() if order_id in line]
