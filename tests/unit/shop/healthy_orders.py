"""The evidence of a run in which nothing went wrong, to plant violations into."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from saga_lab.invariants.evidence import Evidence, Logged, Sent, mark_of
from sagakit.contract.model import saga_id_of
from sagakit.contract.platform import CompensationRequested
from sagakit.messages.envelope import NAMESPACE
from schemas import FLOWS
from schemas.events import (
    InventoryReleased,
    InventoryReserved,
    InventoryShipped,
    OrderCancelled,
    OrderCompleted,
    OrderFacts,
    OrderLine,
    OrderPlaced,
    PaymentCaptured,
    PaymentRefunded,
    ShipmentCancelled,
    ShipmentPickedUp,
    ShippedMailSent,
    StockLine,
    StockReceived,
)
from shop.invariants import INVARIANTS
from shop.invariants.ledgers import Ledgers, StockRow

START = datetime(2026, 1, 2, tzinfo=UTC)
SKU, PRICE_MINOR = "TEA-100", 1250
LINES = (StockLine(sku=SKU, quantity=2),)
FACTS = OrderFacts(
    customer_id="c",
    email="ada@customer.example",
    currency="EUR",
    total_minor=2 * PRICE_MINOR,
    lines=(OrderLine(sku=SKU, quantity=2, unit_price_minor=PRICE_MINOR),),
    card_token="tok_ok",
    ship_to="here",
)
DONE, UNDONE = "done", "undone"


def saga(order_id: str) -> str:
    """The key of an order's saga."""
    return f"order/{order_id}"


def placed(order_id: str) -> OrderPlaced:
    return OrderPlaced(order_id=order_id, order=FACTS, placed_at=START)


def captured(order_id: str, late: bool = False) -> PaymentCaptured:
    return PaymentCaptured(
        order_id=order_id,
        order=FACTS,
        charge_id=f"ch_{order_id}",
        amount_minor=FACTS.total_minor,
        currency="EUR",
        late=late,
    )


def refunded(order_id: str, amount_minor: int = FACTS.total_minor) -> PaymentRefunded:
    return PaymentRefunded(order_id=order_id, amount_minor=amount_minor, reason="undone")


def released(order_id: str) -> InventoryReleased:
    return InventoryReleased(order_id=order_id, lines=LINES, reason="undone")


def picked_up(order_id: str) -> ShipmentPickedUp:
    return ShipmentPickedUp(order_id=order_id, order=FACTS, label_id="lb", tracking="T")


def timeout(order_id: str, step: str = "payment") -> CompensationRequested:
    return CompensationRequested(
        saga_id=order_id, step=step, code="deadline", reason="late", actor="saga_monitor"
    )


def completed(order_id: str) -> list[Any]:
    """The events of an order that went well."""
    return [
        placed(order_id),
        InventoryReserved(order_id=order_id, order=FACTS),
        captured(order_id),
        picked_up(order_id),
        InventoryShipped(order_id=order_id, lines=LINES),
        ShippedMailSent(order_id=order_id, to=FACTS.email),
        OrderCompleted(order_id=order_id),
    ]


def cancelled(order_id: str) -> list[Any]:
    """The events of an order that was undone after the money was taken."""
    return [
        placed(order_id),
        InventoryReserved(order_id=order_id, order=FACTS),
        captured(order_id),
        ShipmentCancelled(order_id=order_id, reason="refused"),
        refunded(order_id),
        released(order_id),
        OrderCancelled(order_id=order_id, reason="refused"),
    ]


class Log:
    """Events, a second apart; a number waits that many seconds instead."""

    def __init__(self) -> None:
        self.events: list[Logged] = []
        self._now = START
        self._sequences = Counter[tuple[str, str]]()

    def add(self, *events: Any, cause: UUID | None = None) -> "Log":
        for event in events:
            if isinstance(event, int | float):
                self._now += timedelta(seconds=event)
                continue
            self._now += timedelta(seconds=1)
            key = saga(saga_id_of(event)) if event.saga_id_field else f"/sku:{SKU}"
            chain = (event.owner, key)
            self._sequences[chain] += 1
            self.events.append(
                Logged(
                    saga=key,
                    event=event,
                    id=uuid5(NAMESPACE, f"{chain}{self._sequences[chain]}"),
                    source=event.owner,
                    seq=self._sequences[chain],
                    topic=f"{event.owner}.events",
                    partition=0,
                    offset=len(self.events),
                    at=self._now,
                    cause=cause,
                    flow="order/1",
                )
            )
        return self


def charge(order_id: str, status: str = "captured", **more: Any) -> dict[str, Any]:
    row = {"id": f"ch_{order_id}", "reference": saga(order_id), "amount_minor": FACTS.total_minor}
    return {**row, "status": status, **more}


def refund(order_id: str, status: str = "refunded", **more: Any) -> dict[str, Any]:
    return {**charge(order_id, status), "id": f"re_{order_id}", **more}


def label(order_id: str, status: str = "picked_up", **more: Any) -> dict[str, Any]:
    lines = [{"sku": SKU, "quantity": 2}]
    row = {"id": f"lb_{order_id}", "reference": saga(order_id), "status": status}
    return {**row, "lines": lines, **more}


def mail(order_id: str, kind: str) -> dict[str, Any]:
    return {"reference": saga(order_id), "kind": kind}


def mark(name: str) -> bytes:
    return mark_of("payment.events", name.encode(), (), b"body")


def with_ledgers(**changed: Any) -> Evidence:
    """The same with other ledgers."""
    evidence = healthy()
    return replace(evidence, own=replace(evidence.own, **changed))


def healthy(*more: Any, cause: UUID | None = None) -> Evidence:
    """One order that went well and one that was undone, `more` on the log behind them."""
    received = StockReceived(sku=SKU, quantity=10, actor="a", reason="r")
    log = Log().add(received, *completed(DONE), *cancelled(UNDONE)).add(*more, cause=cause)
    return Evidence(
        flows=FLOWS,
        log=log.events,
        marks=frozenset([mark("there")]),
        own=Ledgers(
            charges=[charge(DONE), charge(UNDONE)],
            refunds=[refund(UNDONE)],
            labels=[label(DONE), label(UNDONE, "cancelled")],
            mails=[mail(DONE, "shipped"), mail(UNDONE, "cancelled"), mail(UNDONE, "refunded")],
            stock=[StockRow(SKU, on_hand=8, reserved=0, shipped=2, put_in=10)],
        ),
        ends=INVARIANTS.ends,
        outbox={"payment": 0},
        effects={"payment": 0},
        sent=[Sent("payment", saga(DONE), "payment.events", mark("there"))],
        sagas={saga(DONE): "completed", saga(UNDONE): "cancelled"},
    )


def without(evidence: Evidence, *types: str) -> Evidence:
    return replace(evidence, log=[e for e in evidence.log if e.type not in types])
