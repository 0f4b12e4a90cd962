"""A paused order on a virtual clock: what is under way is finished, nothing new is begun, no
deadline runs, and after the pause it goes on as if nothing had been."""

from datetime import timedelta

import pytest

from saga_monitor.saga.blockers import CauseKind, blocking_cause
from saga_monitor.saga.commands import CommandRefused, VerdictCommand, give_verdict
from saga_monitor.saga.view import Status
from sagakit.contract.platform import SagaPaused
from tests.simulation.single_order import DEAR, FACTS, ORDER, SAGA, OneOrder, paid_while_paused

LONG = timedelta(days=40)
"""Longer than any deadline of the flow."""
FLOWS = pytest.mark.parametrize("flow", ["order/1", "order/2"])
SEEDS = pytest.mark.parametrize("seed", range(5))


def now_is(order: OneOrder) -> Status:
    """Where it is now."""
    return order.seen.status


@FLOWS
@SEEDS
def test_a_paid_order_does_not_ship_until_it_is_resumed(flow: str, seed: int) -> None:
    order = paid_while_paused(flow, seed)
    before = order.types
    order.for_a(LONG)
    assert order.types == before, "nothing new was begun, and nothing undone"
    assert not order.world.outside.labels
    assert now_is(order) == Status.PAUSED
    cause = blocking_cause(order.seen, {}, {}, order.world.now)
    assert cause is not None
    assert (cause.kind, cause.who) == (CauseKind.PAUSED, "ada")
    assert cause.description == "ada paused it: a question; `saga resume` continues it"
    order.resume()
    order.rest()
    assert now_is(order) == Status.COMPLETED
    assert order.taken_minor == FACTS.total_minor
    assert "CompensationRequested" not in order.types


@FLOWS
@SEEDS
def test_a_paused_review_is_neither_reminded_nor_rejected(flow: str, seed: int) -> None:
    order = OneOrder(flow, facts=DEAR, seed=seed)
    order.until_published("PaymentReviewRequired")
    order.pause()
    order.for_a(LONG)
    assert "VerdictRequested" not in order.types
    body = VerdictCommand(saga=SAGA, step="payment", verdict="approve", actor="bob", reason="ok")
    with pytest.raises(
        CommandRefused, match=r"was paused at .* by ada: a question; resume it first"
    ):
        order.say(lambda saga, seen: give_verdict(body, saga, seen))
    order.approve()
    order.for_a(LONG)
    assert not order.world.outside.charges, "an approval waits as well"
    order.resume()
    order.rest()
    assert now_is(order) == Status.COMPLETED


@FLOWS
@SEEDS
def test_an_order_that_is_paused_twice_completes(flow: str, seed: int) -> None:
    order = OneOrder(flow, seed=seed)
    order.until_published("OrderPlaced")
    order.pause()
    order.for_a(LONG)
    order.resume()
    order.pause()
    order.for_a(LONG)
    order.resume()
    order.rest()
    assert now_is(order) == Status.COMPLETED
    assert order.types.count("SagaPaused") == order.types.count("SagaResumed") == 2


def test_the_pick_up_of_a_paused_order_is_read_and_only_the_mail_waits() -> None:
    order = OneOrder()
    order.until_published("ShipmentCreated")
    order.pause()
    order.for_a(LONG)
    assert "ShipmentPickedUp" in order.types
    assert "ShippedMailSent" not in order.types
    order.resume()
    order.rest()
    assert now_is(order) == Status.COMPLETED


@SEEDS
def test_paused_while_the_cancellation_is_on_its_way_nothing_stays_paused(seed: int) -> None:
    """Given an order whose stock is reserved, which nobody has heard; when it is cancelled, and
    paused by somebody who has not heard that; then what inventory says late meets a fence."""
    order = OneOrder(seed=seed)
    inventory = order.world.nodes["inventory"]
    order.until(lambda: bool(inventory.unpublished()), "the stock is reserved")
    inventory.processes[0].paused_until = order.world.now + timedelta(seconds=20)
    order.cancel()
    order.until_published("PaymentRefunded")
    words = {"saga_id": ORDER, "actor": "ada", "reason": "a question"}
    order.world.publish(SagaPaused(**words), SAGA, order.flow)
    order.for_a(timedelta(seconds=10))
    assert "InventoryReserved" not in order.types
    order.rest()
    assert "InventoryReserved" in order.types
    assert now_is(order) == Status.CANCELLED


def test_whoever_resumes_has_seen_that_it_is_paused() -> None:
    """Given an order, and no broker; when it is paused and resumed meanwhile; then the resuming is
    said when the pause was read, and the order goes on."""
    order = OneOrder()
    order.until_published("OrderPlaced")
    order.world.broker_back_at = order.world.now + timedelta(seconds=5)  # before any deadline
    paused = SagaPaused(saga_id=ORDER, actor="ada", reason="a question")
    order.world.publish(paused, SAGA, order.flow)
    order.world.operator.resume(SAGA)
    order.rest()
    assert order.types.index("SagaPaused") < order.types.index("SagaResumed")
    assert now_is(order) == Status.COMPLETED
