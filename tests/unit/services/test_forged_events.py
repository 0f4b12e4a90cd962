"""Whoever writes one topic moves no money or goods with it that are not theirs."""

import itertools
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from sagakit.contract.platform import CompensationRequested
from sagakit.decider import Command
from sagakit.messages.envelope import OutboxRow, Record, Trace
from sagakit.testing import NOW
from schemas.events import (
    InventoryRejected,
    InventoryReserved,
    OrderFacts,
    OrderPlaced,
    OrderRejected,
    PaymentCaptured,
    ShipmentFailed,
)
from services.order.decide import PlaceOrder
from tests.order_facts import TWO_TEAS
from tests.unit.services.reader import CODEC, Reader

A = TWO_TEAS
B = replace(TWO_TEAS, total_minor=9900, ship_to="2 Main Street", card_token="tok_other")
B = replace(B, lines=(replace(B.lines[0], unit_price_minor=4950),))


def placed(facts: OrderFacts = A) -> OrderPlaced:
    return OrderPlaced(order_id="o1", order=facts, placed_at=NOW)


def reserved(facts: OrderFacts = A) -> InventoryReserved:
    return InventoryReserved(order_id="o1", order=facts)


def captured(facts: OrderFacts = A) -> PaymentCaptured:
    return PaymentCaptured(
        order_id="o1", order=facts, charge_id="ch", amount_minor=2500, currency="EUR"
    )


def calls(reader: Reader) -> list[Any]:
    """The facts with which the outside is called."""
    return [p.row.effect.payload["order"] for p in reader.database.tables.effects.values()]


# --- the label ------------------------------------------------------------------------------------


def test_shipping_makes_no_label_for_an_event_with_another_label() -> None:
    """Given an order on order/1, which pays before it ships; when its reservation says order/2,
    which ships after it; then nothing is shipped, and a person sees it."""
    shipping = Reader("shipping", 1)
    shipping.reads(placed())
    shipping.reads(reserved(), trace=Trace("order/2"))
    assert (shipping.moved, shipping.codes) == (False, ["conflict"])
    shipping.reads(captured())
    assert calls(shipping) == [A.to_dict()], "the true event passes it"


def test_nobody_refunds_for_an_event_with_another_label() -> None:
    payment = Reader("payment", 1)
    payment.reads(placed())
    payment.reads(reserved())
    rejected = InventoryRejected(order_id="o1", code="out_of_stock", reason="none", skus=())
    payment.triggers.clear()
    payment.reads(rejected, trace=Trace("order/2"))
    assert (payment.triggers, payment.codes) == ([], ["conflict"])


@pytest.mark.parametrize(
    "turns", list(itertools.permutations(("start", "on 1", "on 2"))), ids=lambda t: ", ".join(t)
)
def test_two_labels_never_both_act(turns: tuple[str, ...]) -> None:
    """In whatever order they are read, only events of the start event's label are acted on."""
    readers = [Reader("payment", 1), Reader("shipping", 1)]
    for reader, turn in itertools.product(readers, turns):
        match turn:
            case "start":
                reader.reads(placed())
            case "on 1":
                reader.reads(reserved())
            case "on 2":
                reader.reads(reserved(), trace=Trace("order/2"))
    payment, shipping = readers
    assert len(calls(payment)) == 1, "its turn on order/1"
    assert calls(shipping) == [], "its turn on order/2"


# --- sources and ids ------------------------------------------------------------------------------


def test_a_forged_source_hides_no_true_event() -> None:
    """Given three harmless events that claim to be shipping's first three; when shipping fails;
    then payment undoes."""
    payment = Reader("payment", 1)
    payment.reads(placed())
    payment.reads(reserved())
    for n in (1, 2, 3):
        harmless = OrderRejected(order_id="o1", code="conflict", reason="x")
        payment.reads(harmless, source="shipping", seq=n)
    payment.triggers.clear()
    payment.reads(ShipmentFailed(order_id="o1", code="refused", reason="x"), seq=1)
    assert len(payment.triggers) == 1


def test_a_forged_id_hides_no_request_to_undo() -> None:
    shipping = Reader("shipping", 1)
    shipping.reads(placed())
    request = CompensationRequested(
        saga_id="o1", step="payment", attempt=1, code="operator", actor="ada", reason="x"
    )
    id_ = uuid4()
    shipping.reads(OrderRejected(order_id="o1", code="conflict", reason="x"), id=id_)
    shipping.triggers.clear()
    shipping.reads(request, id=id_)
    assert len(shipping.triggers) == 1


# --- facts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change", [{"total_minor": 1}, {"card_token": "tok_mine"}, {"ship_to": "elsewhere"}]
)
def test_nobody_charges_or_ships_what_the_order_did_not_say(change: dict[str, Any]) -> None:
    payment, shipping = Reader("payment", 1), Reader("shipping", 1)
    forged = replace(A, **change)
    for reader, event in ((payment, reserved), (shipping, captured)):
        reader.reads(placed())
        reader.reads(event(forged))
        assert (reader.moved, reader.codes) == (False, ["conflict"])
        reader.reads(event())
        assert calls(reader) == [A.to_dict()]


def test_an_order_that_nobody_placed_is_not_charged() -> None:
    payment = Reader("payment", 1)
    payment.reads(reserved())
    assert (payment.moved, payment.codes) == (False, ["unstarted"])


# --- two places where orders are taken ------------------------------------------------------------


def test_one_content_for_everybody_decided_by_the_log() -> None:
    """Given an order that the API took, while its relay is behind; when another one of its id is in
    the log first; then everybody carries out that one, and the API's is refused."""
    order = Reader("order", 1)
    order.submit(Command("place", "api", "placed", PlaceOrder("o1", A, NOW)), "order/2")
    ((_, own),) = order.database.tables.outbox.items()
    log: list[tuple[Any, dict[str, Any]]] = [
        (placed(B), {"source": "shop", "seq": None}),
        (placed(A), {"trace": Trace("order/2"), "seq": 1}),
    ]
    for event, given in log:
        order.reads(event, **given)
    events = [CODEC.decode(row_record(row)).event for row in order.database.tables.outbox.values()]
    rejected = [e.code for e in events if isinstance(e, OrderRejected)]
    state = order.handler.participant.store.states["order/o1"]  # type: ignore[attr-defined]
    assert (own.topic, rejected, state.taken) == ("order.events", ["taken", "conflict"], True)
    payment, shipping = Reader("payment", 1), Reader("shipping", 1)
    for reader, turn in ((payment, reserved), (shipping, captured)):
        for event, given in log:
            reader.reads(event, **given)
        assert (reader.moved, reader.codes) == (False, [])
        reader.reads(turn(A))
        assert not reader.moved, "the refused content is carried out by nobody"
        reader.reads(turn(B))
        assert calls(reader) == [B.to_dict()]


def row_record(row: OutboxRow) -> Record:
    return Record(row.topic, 0, row.id, 0, row.key.encode(), row.value, row.headers)
