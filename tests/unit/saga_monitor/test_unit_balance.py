"""A balance without a step, moved by lists: units of several kinds by one event."""

from typing import Any

import pytest

from saga_monitor.ingest.projection import balances_of, fact_of
from saga_monitor.saga.balance import LISTED
from saga_monitor.saga.deadlines import due_emissions
from saga_monitor.saga.facts import Fact, Saga, fold
from saga_monitor.saga.flow_plan import Plan
from saga_monitor.saga.measures import Change, movements
from saga_monitor.saga.view import CONSERVATION, KindBalance, Status
from sagakit.messages.envelope import NAMESPACE, Envelope
from schemas import FLOWS
from schemas.events import InventoryReleased, InventoryReserved, OrderFacts, OrderLine, StockLine
from tests.histories import FLOW, MONEY, ORDER, START, UNITS, after, saga_of, seen


def lines(path: str, **amounts: int) -> dict[str, Any]:
    """The detail of an event whose list at `path` has these amounts by kind."""
    return {LISTED: {UNITS.list_key(path): amounts}}


TWO, ONE, NONE = lines("lines", TEA=2, POT=1), lines("lines", TEA=1, POT=1), lines("lines")
RESERVED = ("OrderPlaced", "InventoryReserved", lines("order.lines", TEA=2, POT=1))
PAID = (*RESERVED, "PaymentCaptured")
DONE = (*PAID, "ShipmentPickedUp", "ShippedMailSent")
UNDONE = (*PAID, "ShipmentFailed", "PaymentRefunded")
REST_S = 3600
"""The longest deadline of a step."""


def findings(saga: Saga, through_s: float) -> list[str]:
    """Reasons of the interventions that are opened when the log is read through that far."""
    emitted = due_emissions(saga, seen(saga), after(through_s))
    return [e.event.reason for e in emitted if getattr(e.event, "code", "") == CONSERVATION]


@pytest.mark.parametrize(
    "story",
    [
        ("OrderPlaced",),
        PAID,
        (*DONE, "InventoryShipped", TWO),
        (*UNDONE, "InventoryReleased", TWO),
        (*UNDONE, "InventoryReleased", TWO, "InventoryReleased", NONE),
        ("OrderPlaced", "InventoryRejected"),
        ("OrderPlaced", "OrderCancelRequested", "ShipmentCancelled", "InventoryReleased", NONE),
    ],
)
def test_units_that_add_up_are_no_finding(story: tuple[Any, ...]) -> None:
    assert findings(saga_of(*story), 10**7) == []


@pytest.mark.parametrize(
    ("story", "words"),
    [
        (DONE, ["units: added 1 POT + 2 TEA, removed nothing", "a completed saga must hold"]),
        ((*DONE, "InventoryShipped", ONE), ["held 1 TEA: a completed saga must hold nothing"]),
        ((*UNDONE, "InventoryReleased", ONE), ["held 1 TEA: a cancelled saga must hold nothing"]),
        (
            (*UNDONE, "InventoryReleased", TWO, "InventoryReleased", TWO),
            ["removed 2 POT + 4 TEA", "more was removed than added"],
        ),
        (("OrderPlaced", "InventoryShipped", ONE), ["more was removed than added"]),
        (
            (*UNDONE, "InventoryShipped", ONE, "InventoryReleased", lines("lines", TEA=1)),
            ["shipped: added 1 POT + 1 TEA", "a cancelled saga must hold nothing"],
        ),
    ],
)
def test_units_that_do_not_add_up_are_found_once_the_order_is_quiet(
    story: tuple[Any, ...], words: list[str]
) -> None:
    saga = saga_of(*story)
    last = max(f.at for f in saga.facts.values())
    assert findings(saga, (last - START).total_seconds() + REST_S - 1) == [], "it may still settle"
    (reason,) = findings(saga, (last - START).total_seconds() + REST_S + 1)
    assert [word for word in words if word not in reason] == []


def test_two_balances_of_one_saga_are_judged_apart() -> None:
    saga = saga_of(*UNDONE, "InventoryReleased", TWO, "InventoryShipped", TWO)
    reasons = findings(saga, 10**5)
    assert sorted(reason.partition(":")[0] for reason in reasons) == ["shipped", "units"]


def test_an_intervention_about_units_is_opened_again_only_about_other_units() -> None:
    saga = saga_of(*DONE)
    (emission,) = due_emissions(saga, seen(saga), after(2 * REST_S))
    opened = Fact(
        str(emission.id), "InterventionOpened", after(2 * REST_S + 1), detail={"code": CONSERVATION}
    )
    saga = fold(saga, opened)
    assert (seen(saga).status, seen(saga).open_interventions) == (Status.COMPLETED, (CONSERVATION,))
    assert seen(saga).imbalances == ()
    shipped = Fact("shipped", "InventoryShipped", after(3 * REST_S), "inventory", 9, detail=ONE)
    assert len(seen(fold(saga, shipped)).imbalances) == 1


def test_an_order_read_before_its_lists_were_recorded_is_not_judged() -> None:
    saga = saga_of(*DONE, "InventoryShipped")
    assert findings(saga, 10**7) == []
    assert {row.name for row in seen(saga).balances} == {"money"}


def test_stock_that_ships_after_the_mail_is_no_finding() -> None:
    assert findings(saga_of(*DONE, REST_S - 5, "InventoryShipped", TWO), 10**7) == []


def test_units_are_counted_where_the_flow_says() -> None:
    """Given an event with two lines of one kind and one of another; when it is read; then the fact
    keeps the sums by kind."""
    order = OrderFacts(
        customer_id="c",
        email="a@b.example",
        currency="EUR",
        total_minor=30,
        lines=tuple(
            OrderLine(sku=sku, quantity=n, unit_price_minor=5)
            for sku, n in (("A", 1), ("B", 2), ("A", 3))
        ),
        card_token="tok",
        ship_to="Here 1",
    )
    reserved = InventoryReserved(order_id=ORDER, order=order)
    back = StockLine(sku="A", quantity=4)
    released = InventoryReleased(order_id=ORDER, lines=(back,), reason="", email=None)
    assert UNITS.listed(reserved) == {"A": 4, "B": 2}
    assert UNITS.listed(released) == {"A": 4}
    assert MONEY.listed(released) is None
    envelope = Envelope(NAMESPACE, ORDER, "inventory", 1, START, released)
    kept = fact_of(envelope, balances_of(FLOWS)).detail
    assert kept[LISTED] == {UNITS.list_key("lines"): {"A": 4}}
    assert LISTED not in fact_of(envelope).detail


def test_the_units_that_an_event_moved_are_counted_by_kind() -> None:
    before = saga_of("OrderPlaced")
    saga = saga_of(*RESERVED)
    change = Change(before.facts, Status.RUNNING, saga, seen(saga), Plan.of(FLOW, 1))
    assert list(movements(change)) == [
        KindBalance("units", "POT", 1, 0),
        KindBalance("units", "TEA", 2, 0),
    ]
