"""Plays docs/reference/cancel.md row by row, on both step orders.

Each row is played through the order API and through the operator's command.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from saga_monitor.saga.commands import (
    CancelCommand,
    CommandRefused,
    VerdictCommand,
    cancel_saga,
    give_verdict,
)
from shop.simulation.outside import Behaviour
from tests.simulation.single_order import (
    DEAR,
    FACTS,
    NEVER_PICKED_UP,
    SAGA,
    OneOrder,
    paid_while_paused,
)

PAGE = Path(__file__).parent.parent.parent / "docs/reference/cancel.md"
ASKED = CancelCommand(saga=SAGA, actor="ada", reason="the customer called")
SEEDS = range(5)


@dataclass(frozen=True)
class Row:
    """A row of the page."""

    moment: str
    order_api: int
    operator: int
    events: tuple[str, ...]
    end: str


def rows() -> dict[str, Row]:
    """The page's table."""
    found = {}
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 5 and cells[1].isdigit():
            moment, entry, operator, listed, end = cells
            events = tuple(re.findall(r"`([A-Z]\w+)`", listed))
            found[moment] = Row(moment, int(entry), int(operator), events, end)
    return found


ROWS = rows()


# --- the moments ----------------------------------------------------------------------------------


def before_reservation(flow: str, seed: int) -> OneOrder:
    order = OneOrder(flow, seed=seed)
    order.until_published("OrderPlaced")
    assert order.types == ["OrderPlaced"]
    return order


def during_the_charge(flow: str, seed: int) -> OneOrder:
    order = OneOrder(flow, seed=seed)
    order.until(lambda: bool(order.world.outside.charges), "the provider is asked")
    assert "PaymentCaptured" not in order.types
    return order


def waiting_for_review(flow: str, seed: int) -> OneOrder:
    order = OneOrder(flow, facts=DEAR, seed=seed)
    order.until_published("PaymentReviewRequired")
    return order


def after_the_label(flow: str, seed: int) -> OneOrder:
    order = OneOrder(flow, NEVER_PICKED_UP, seed=seed)
    order.until_published("ShipmentCreated")
    return order


def after_the_pickup(flow: str, seed: int) -> OneOrder:
    order = OneOrder(flow, seed=seed)
    order.until_published("ShipmentPickedUp")
    assert "OrderCompleted" not in order.types
    return order


def during_compensation(flow: str, seed: int) -> OneOrder:
    """The label is refused; the refund takes its time."""
    slowly = Behaviour(label="refused", refund="later", delay=timedelta(seconds=60))
    order = OneOrder(flow, slowly, seed=seed)
    order.until_published("PaymentRefundStarted")
    assert "PaymentRefunded" not in order.types
    return order


def paused_in_review(flow: str, seed: int) -> OneOrder:
    """Somebody else's approval is held."""
    order = waiting_for_review(flow, seed)
    order.pause()
    order.approve()
    order.for_a(timedelta(minutes=1))
    assert not order.world.outside.charges
    return order


def paused_before_the_parcel(flow: str, seed: int) -> OneOrder:
    """Paused while the money is pending; when it comes, nothing more is begun."""
    order = paid_while_paused(flow, seed)
    assert not order.world.outside.labels
    return order


def after_it_is_cancelled(flow: str, seed: int) -> OneOrder:
    order = OneOrder(flow, Behaviour(charge="declined"), seed=seed)
    order.until_published("OrderCancelled")
    return order


def after_completion(flow: str, seed: int) -> OneOrder:
    order = OneOrder(flow, seed=seed)
    order.until_published("OrderCompleted")
    return order


MOMENTS: dict[str, Callable[[str, int], OneOrder]] = {
    "before reservation": before_reservation,
    "during the charge": during_the_charge,
    "waiting for review": waiting_for_review,
    "after the label": after_the_label,
    "after the pick-up": after_the_pickup,
    "during compensation": during_compensation,
    "paused, waiting for review": paused_in_review,
    "paused, with the parcel not begun": paused_before_the_parcel,
    "after it is cancelled": after_it_is_cancelled,
    "after completion": after_completion,
}


def test_the_page_and_the_tests_speak_of_the_same_moments() -> None:
    assert list(ROWS) == list(MOMENTS)


# --- the cells ------------------------------------------------------------------------------------


@pytest.mark.parametrize("flow", ["order/1", "order/2"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_cancellation_at_the_order_api_ends_as_the_page_says(moment: str, flow: str) -> None:
    for seed in SEEDS:
        order = MOMENTS[moment](flow, seed)
        taken = order.cancel()
        assert (202 if taken else 409) == ROWS[moment].order_api
        assert_becomes(order, ROWS[moment], taken)
        assert ("OrderCancelRequested" in order.types) == taken


@pytest.mark.parametrize("flow", ["order/1", "order/2"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_cancellation_by_an_operator_ends_as_the_page_says(moment: str, flow: str) -> None:
    for seed in SEEDS:
        order = MOMENTS[moment](flow, seed)
        status = 202
        try:
            order.say(lambda saga, seen: cancel_saga(ASKED, saga, seen))
        except CommandRefused as refused:
            status = refused.status
        assert status == ROWS[moment].operator
        assert_becomes(order, ROWS[moment], status == 202)


def assert_becomes(order: OneOrder, row: Row, taken: bool) -> None:
    """From here on: the events named, the end, the customer's money, every invariant."""
    before = len(order.types)
    order.rest()
    published = order.types[before:]
    answered = {"ShipmentCancelRefused"}  # there is no answer where nobody asked
    assert [e for e in row.events if e not in published and (taken or e not in answered)] == []
    assert order.seen.status == row.end
    assert order.taken_minor == (FACTS.total_minor if row.end == "completed" else 0)
    refunds = [e for e in order.events if e.type == "PaymentRefunded" and e.amount_minor]
    assert len(refunds) <= 1


def test_a_verdict_on_what_was_cancelled_meanwhile_is_refused() -> None:
    order = waiting_for_review("order/1", 0)
    assert order.cancel()
    order.rest()
    body = VerdictCommand(saga=SAGA, step="payment", verdict="approve", actor="ada", reason="ok")
    with pytest.raises(CommandRefused, match="waits for no verdict: it is undone"):
        order.say(lambda saga, seen: give_verdict(body, saga, seen))
