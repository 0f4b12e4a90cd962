"""Each check of the order application's ledgers holds for a healthy run and finds a violation."""

from collections.abc import Callable, Mapping

import pytest

from saga_lab.invariants.evidence import Evidence
from saga_lab.invariants.finding import Finding
from saga_lab.invariants.sagas import nothing_healthy_undone
from schemas.events import ShipmentCancelled
from shop.invariants import INVARIANTS
from shop.invariants.checks import money, one_label_and_mail, units
from shop.invariants.ledgers import StockRow
from tests.unit.shop.healthy_orders import (
    DONE,
    SKU,
    UNDONE,
    captured,
    charge,
    healthy,
    label,
    mail,
    refund,
    refunded,
    released,
    with_ledgers,
    without,
)


def nothing_undone(evidence: Evidence) -> Finding:
    return nothing_healthy_undone(evidence, INVARIANTS.undone_past_pivot)


CHECKS: Mapping[int, Callable[[Evidence], Finding]] = {
    2: money,
    3: units,
    4: one_label_and_mail,
    7: nothing_undone,
}


@pytest.mark.parametrize("number", CHECKS)
def test_a_healthy_run_holds(number: int) -> None:
    found = CHECKS[number](healthy())
    assert found.number == number
    assert found.holds, found.violations
    assert found.checked_against


PLANTED: Mapping[str, tuple[int, Evidence, str]] = {
    "charged twice": (
        2,
        with_ledgers(charges=[charge(DONE), charge(DONE, id="ch_2"), charge(UNDONE)]),
        f"{DONE}: charged 2 times",
    ),
    "kept what is cancelled": (
        2,
        with_ledgers(refunds=[]),
        f"{UNDONE}: cancelled, and 2500 minor units are kept",
    ),
    "a refund only promised": (
        2,
        with_ledgers(refunds=[refund(UNDONE, "pending")]),
        f"{UNDONE}: cancelled, and 2500 minor units are kept",
    ),
    "refunded too much": (
        2,
        with_ledgers(refunds=[refund(UNDONE), refund(UNDONE)]),
        f"{UNDONE}: 5000 minor units refunded of 2500",
    ),
    "completed unpaid": (
        2,
        with_ledgers(charges=[charge(DONE, "declined"), charge(UNDONE)]),
        f"{DONE}: completed for 2500, 0 minor units are kept",
    ),
    "charged a wrong amount": (
        2,
        with_ledgers(charges=[charge(DONE, amount_minor=2499), charge(UNDONE)]),
        f"{DONE}: completed for 2500, 2499 minor units are kept",
    ),
    "charged for nothing": (
        2,
        with_ledgers(charges=[charge(DONE), charge(UNDONE), charge("ghost")]),
        "ghost: charged, though no such order was placed",
    ),
    "a unit vanished": (
        3,
        with_ledgers(stock=[StockRow(SKU, 7, 0, 2, 10)]),
        f"{SKU}: the sum is not what was put in",
    ),
    "below zero": (3, with_ledgers(stock=[StockRow(SKU, -1, 9, 2, 10)]), "below zero"),
    "held for nobody": (
        3,
        with_ledgers(stock=[StockRow(SKU, 7, 1, 2, 10)]),
        f"{SKU}: 1 reserved, the reservations hold 0",
    ),
    "put in out of nowhere": (
        3,
        with_ledgers(stock=[StockRow(SKU, 9, 0, 2, 11)]),
        f"{SKU}: 11 put in, the topics say 10",
    ),
    "shipped but not carried": (
        3,
        with_ledgers(labels=[]),
        f"{SKU}: 2 shipped, 2 on the topics, 0 carried",
    ),
    "carried but never told": (
        3,
        without(healthy(), "InventoryShipped"),
        f"{SKU}: 2 shipped, 0 on the topics, 2 carried",
    ),
    "a SKU nobody knows": (3, with_ledgers(stock=[]), f"{SKU}: 0 put in"),
    "two labels": (
        4,
        with_ledgers(labels=[label(DONE), label(DONE, "created", id="lb_2")]),
        f"{DONE}: 2 valid labels",
    ),
    "completed without a parcel": (
        4,
        with_ledgers(labels=[label(DONE, "created")]),
        f"{DONE}: completed, and no parcel",
    ),
    "cancelled with a parcel": (
        4,
        with_ledgers(labels=[label(DONE), label(UNDONE)]),
        f"{UNDONE}: cancelled, and label lb_undone is picked_up",
    ),
    "a parcel for nobody": (
        4,
        with_ledgers(labels=[label(DONE), label("ghost")]),
        "ghost: shipped, though",
    ),
    "a mail twice": (
        4,
        with_ledgers(mails=[mail(DONE, "shipped"), mail(DONE, "shipped")]),
        f"{DONE}: 2 mails shipped",
    ),
    "a wrong mail": (
        4,
        with_ledgers(mails=[mail(DONE, "cancelled")]),
        f"{DONE}: completed, and the customer was told it is cancelled",
    ),
    "refunded past the pivot": (7, healthy(refunded(DONE)), f"{DONE}: picked up, and yet 2500"),
    "released past the pivot": (
        7,
        healthy(released(DONE)),
        f"{DONE}: picked up, and yet its stock was released",
    ),
    "cancelled past the pivot": (
        7,
        healthy(ShipmentCancelled(order_id=DONE, reason="r")),
        f"{DONE}: picked up, and yet told cancelled",
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_violation_is_found(name: str) -> None:
    number, evidence, expected = PLANTED[name]
    found = CHECKS[number](evidence)
    assert not found.holds
    assert any(expected in violation for violation in found.violations), found.violations


def test_a_late_capture_may_go_back_past_the_pivot() -> None:
    assert nothing_undone(healthy(captured(DONE, late=True), refunded(DONE))).holds
