"""Units that do not add up open a case, once they have had the time to settle."""

from pathlib import Path
from typing import Any

import pytest

import schemas
from saga_monitor.ingest.projection import fact_of
from saga_monitor.saga.deadlines import due_emissions
from saga_monitor.saga.facts import Fact, Saga, fold
from saga_monitor.saga.flow_plan import Plan
from saga_monitor.saga.measures import Change, units_moved
from saga_monitor.saga.view import UNITS_LOST, Status
from sagakit.errors import FlowError
from sagakit.flow.loader import load
from sagakit.messages.envelope import NAMESPACE, Envelope
from schemas import FLOWS, OWNERS
from schemas.events import InventoryReleased, InventoryReserved, OrderFacts, OrderLine, StockLine
from tests.histories import FLOW, ORDER, START, after, saga_of, seen

TWO = {"units": {"TEA": 2, "POT": 1}}
ONE = {"units": {"TEA": 1, "POT": 1}}
NONE: dict[str, Any] = {"units": {}}
RESERVED = ("OrderPlaced", "InventoryReserved", TWO, "PaymentCaptured")
DONE = (*RESERVED, "ShipmentPickedUp", "ShippedMailSent")
UNDONE = (*RESERVED, "ShipmentFailed", "PaymentRefunded")
REST_S = 3600
"""The longest deadline of a step."""


def findings(saga: Saga, through_s: float) -> list[str]:
    """Reasons of the cases about units that are opened when the log is read through that far."""
    emitted = due_emissions(saga, seen(saga), after(through_s))
    return [e.event.reason for e in emitted if getattr(e.event, "code", "") == UNITS_LOST]


@pytest.mark.parametrize(
    "story",
    [
        ("OrderPlaced",),
        RESERVED,
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
        (DONE, "the order is completed and 1 POT + 2 TEA are still reserved"),
        ((*DONE, "InventoryShipped", ONE), "the order is completed and 1 TEA are still reserved"),
        ((*UNDONE, "InventoryReleased", ONE), "the order is cancelled and 1 TEA are still"),
        (
            (*UNDONE, "InventoryReleased", TWO, "InventoryReleased", TWO),
            "reserved 1 POT + 2 TEA, released 2 POT + 4 TEA, shipped none: more was released",
        ),
        (
            (*UNDONE, "InventoryReleased", TWO, "InventoryShipped", TWO),
            "more was released or shipped than reserved",
        ),
        (("OrderPlaced", "InventoryShipped", ONE), "reserved none, released none, shipped 1 POT"),
        (
            (*UNDONE, "InventoryShipped", ONE, "InventoryReleased", {"units": {"TEA": 1}}),
            "cancelled",
        ),
    ],
)
def test_units_that_do_not_add_up_are_found_once_the_order_is_quiet(
    story: tuple[Any, ...], words: str
) -> None:
    saga = saga_of(*story)
    last = max(f.at for f in saga.facts.values())
    assert findings(saga, (last - START).total_seconds() + REST_S - 1) == [], "it may still settle"
    (reason,) = findings(saga, (last - START).total_seconds() + REST_S + 1)
    assert words in reason


def test_a_case_about_units_is_opened_again_only_about_other_units() -> None:
    saga = saga_of(*DONE)
    (emission,) = due_emissions(saga, seen(saga), after(2 * REST_S))
    opened = Fact(
        str(emission.id), "InterventionOpened", after(2 * REST_S + 1), detail={"code": UNITS_LOST}
    )
    saga = fold(saga, opened)
    assert (seen(saga).status, seen(saga).open_interventions) == (Status.COMPLETED, (UNITS_LOST,))
    assert seen(saga).imbalances == ()
    shipped = Fact("shipped", "InventoryShipped", after(3 * REST_S), "inventory", 9, detail=ONE)
    assert [f.code for f in seen(fold(saga, shipped)).imbalances] == [UNITS_LOST]


def test_an_order_read_before_units_were_recorded_is_not_judged() -> None:
    assert findings(saga_of(*DONE, "InventoryShipped"), 10**7) == []


def test_stock_that_ships_after_the_mail_is_no_case() -> None:
    assert findings(saga_of(*DONE, REST_S - 5, "InventoryShipped", TWO), 10**7) == []


def test_units_are_counted_where_the_flow_says() -> None:
    lines = tuple(
        OrderLine(sku=sku, quantity=n, unit_price_minor=5)
        for sku, n in (("A", 1), ("B", 2), ("A", 3))
    )
    order = OrderFacts(
        customer_id="c",
        email="a@b.example",
        currency="EUR",
        total_minor=30,
        lines=lines,
        card_token="tok",
        ship_to="Here 1",
    )
    reserved = InventoryReserved(order_id=ORDER, order=order)
    back = StockLine(sku="A", quantity=4)
    released = InventoryReleased(order_id=ORDER, lines=(back,), reason="", email=None)
    assert FLOW.units.units_moved(reserved) == {"A": 4, "B": 2}
    assert FLOW.units.units_moved(released) == {"A": 4}
    envelope = Envelope(NAMESPACE, ORDER, "inventory", 1, START, released)
    assert fact_of(envelope, [FLOW.units]).detail["units"] == {"A": 4}
    assert "units" not in fact_of(envelope).detail


def test_the_units_that_an_event_moved_are_counted() -> None:
    before = saga_of("OrderPlaced")
    saga = saga_of(*RESERVED)
    change = Change(before.facts, Status.RUNNING, saga, seen(saga), Plan.of(FLOW, 1))
    assert dict(units_moved(change)) == {"reserved": 3, "released": 0, "shipped": 0}


TEXT = (Path(schemas.__file__).parent / "flows/order.toml").read_text()
SHIPPED = 'shipped = { InventoryShipped = "lines" }'


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (SHIPPED, "", ["shipped", "missing"]),
        (SHIPPED, 'shipped = { InventoryReleased = "lines" }', ["listed under two keys"]),
        (SHIPPED, 'shipped = { OrderPlaced = "order.lines" }', ["OrderPlaced", "owned by order"]),
        (SHIPPED, 'shipped = { Gone = "lines" }', ["units", "Gone has no schema"]),
        (SHIPPED, "shipped = { InventoryShipped = 7 }", ["units.shipped", "InventoryShipped"]),
        ('of = "sku"', 'kind = "sku"', ["units", "kind"]),
    ],
)
def test_an_inconsistent_declaration_of_units_is_refused(
    old: str, new: str, says: list[str]
) -> None:
    assert old in TEXT
    with pytest.raises(FlowError) as error:
        load(TEXT.replace(old, new), OWNERS)
    assert [word for word in says if word not in str(error.value)] == []


def test_a_flow_that_sets_nothing_aside_is_not_judged() -> None:
    (flow,) = FLOWS
    text = (
        TEXT[: TEXT.index("# Which events tell that units")] + TEXT[TEXT.index("# What a part") :]
    )
    assert load(text, OWNERS).units.paths == {}
    assert Plan.of(load(text, OWNERS), 1).unit_steps == frozenset()
    assert Plan.of(flow, 1).unit_steps == {"inventory"}
    assert max(step.deadline_s for step in flow.steps.values()) == REST_S
