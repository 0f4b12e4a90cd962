"""Tests every cell of giftwrap's trigger table, and its path through the kit, all in memory."""

import asyncio
from functools import partial
from typing import Any

import pytest

from sagakit.decider import (
    Callback,
    Command,
    Decision,
    Do,
    Effect,
    EffectResult,
    Observed,
    Trigger,
    Undo,
)
from sagakit.faults import NO_FAULTS, Faults
from sagakit.flow.routing import Router
from sagakit.handling.handler import Disposition
from sagakit.store.memory import MemoryStore
from sagakit.store.ports import Participant
from sagakit.testing import (
    Arrival,
    DecisionMatrix,
    InMemoryService,
    check_crash_points,
    check_idempotent,
    emits,
    row_of,
)
from schemas import CONTRACT, FLOWS
from schemas.events import (
    GiftUnwrapped,
    GiftUnwrapStarted,
    GiftWrapFailed,
    GiftWrapped,
    PaymentCaptured,
    ShipmentFailed,
)
from services.giftwrap.decide import Gift, NoPaper, Phase, Unwrapped, Wrapped, decide, evolve
from services.giftwrap.gateway import MemoryWrapper
from tests.order_facts import TWO_TEAS

FACTS = TWO_TEAS
CAPTURED = PaymentCaptured(
    order_id="o1", order=FACTS, charge_id="ch1", amount_minor=2500, currency="EUR"
)
FAILED = ShipmentFailed(order_id="o1", code="refused", reason="no such street")
WRAP_KEY, UNWRAP_KEY = "wrap", "unwrap"
WRAP = Effect("wrap", WRAP_KEY, {"order_id": "o1", "order": FACTS.to_dict()})
UNWRAP = Effect("unwrap", UNWRAP_KEY, {"order_id": "o1"})

WRAPPED = GiftWrapped(order_id="o1", order=FACTS, paper="red")
NO_PAPER = GiftWrapFailed(order_id="o1", reason="no paper")
STARTED = GiftUnwrapStarted(order_id="o1", reason=FAILED.reason)
TOO_LATE = GiftUnwrapStarted(order_id="o1", reason="it was wrapped too late")
UNWRAPPED = GiftUnwrapped(order_id="o1", reason=FAILED.reason)

PARTICIPANT = Participant("giftwrap", decide, evolve, MemoryStore(Gift()))

# --- the table: no blank cell ---------------------------------------------------------------------

STATES: dict[str, tuple[Any, ...]] = {
    Phase.NEW: (),
    Phase.WRAPPED: (WRAPPED,),
    Phase.FAILED: (NO_PAPER,),
    Phase.UNWRAPPING: (STARTED,),
    Phase.UNWRAPPED: (UNWRAPPED,),
}
TRIGGERS: dict[str, Trigger | Arrival] = {
    "do": Do(CAPTURED),
    "undo": Undo(FAILED, FAILED.reason),
    "undo, wrap in flight": Arrival(Undo(FAILED, FAILED.reason), (WRAP_KEY,)),
    "wrapped": EffectResult(WRAP, Wrapped("red")),
    "no paper": EffectResult(WRAP, NoPaper("no paper")),
    "unwrapped": EffectResult(UNWRAP, Unwrapped()),
    "callback": Callback(Wrapped("red")),
    "observed": Observed("completed", CAPTURED),
    "verdict": Command("approve", "bob", "fine"),
}


row = partial(row_of, STATES)
FENCE = emits(UNWRAPPED)
AGAIN = Decision(effects=(UNWRAP,))
CELLS: dict[str, dict[str, Decision]] = {
    "do": row(new=Decision(effects=(WRAP,))),
    "undo": row(
        new=FENCE,
        wrapped=Decision((STARTED,), (UNWRAP,)),
        failed=FENCE,
        unwrapping=AGAIN,
        unwrapped=FENCE,
    ),
    "undo, wrap in flight": row(
        new=emits(STARTED),
        wrapped=Decision((STARTED,), (UNWRAP,)),
        failed=FENCE,
        unwrapped=FENCE,
    ),
    "wrapped": row(
        new=emits(WRAPPED),
        failed=Decision((TOO_LATE,), (UNWRAP,)),
        unwrapping=AGAIN,
        unwrapped=Decision((TOO_LATE,), (UNWRAP,)),
    ),
    "no paper": row(new=emits(NO_PAPER), unwrapping=FENCE),
    "unwrapped": row(unwrapping=FENCE),
    "callback": row(),
    "observed": row(),
    "verdict": row(),
}


MATRIX = DecisionMatrix(PARTICIPANT, Gift(), STATES, TRIGGERS, CELLS, Phase)


def test_the_matrix_is_complete() -> None:
    MATRIX.check_complete()


@pytest.mark.parametrize(("trigger", "state"), MATRIX.pairs)
def test_each_cell_of_the_matrix(trigger: str, state: str) -> None:
    MATRIX.check(trigger, state)


# --- through the kit ------------------------------------------------------------------------------


def service(wrapper: MemoryWrapper, faults: Faults = NO_FAULTS) -> InMemoryService[Gift]:
    """Giftwrap on the flow version that has it."""
    store = MemoryStore(Gift())
    participant = Participant("giftwrap", decide, evolve, store)
    perform = {"wrap": wrapper.wrap, "unwrap": wrapper.unwrap}
    return InMemoryService(
        participant, store, CONTRACT, FLOWS, perform, flow="order/5", faults=faults
    )


def test_a_gift_is_wrapped_after_the_capture_and_unwrapped_when_shipping_fails() -> None:
    gift = service(MemoryWrapper())
    assert gift.receive(CAPTURED, "payment", 1).events == ()
    assert gift.perform() == [WRAPPED]
    assert gift.receive(FAILED, "shipping", 1).events == (STARTED,)
    assert gift.perform() == [UNWRAPPED]
    assert [row.topic for row in gift.published] == ["giftwrap.events"] * 3


def test_a_redelivered_event_wraps_nothing_twice() -> None:
    wrapper = MemoryWrapper()
    gift = service(wrapper)
    gift.receive(CAPTURED, "payment", 1)
    gift.perform()
    assert gift.receive(CAPTURED, "payment", 1).disposition is Disposition.REPEAT
    assert gift.perform() == []
    assert wrapper.sheets == 999


def test_an_undo_that_comes_first_leaves_a_fence() -> None:
    gift = service(MemoryWrapper())
    assert gift.receive(FAILED, "shipping", 1).events == (UNWRAPPED,)
    assert gift.receive(CAPTURED, "payment", 1).events == ()
    assert gift.perform() == []


def test_an_undo_waits_for_the_call_in_flight() -> None:
    gift = service(MemoryWrapper())
    gift.receive(CAPTURED, "payment", 1)
    assert gift.receive(FAILED, "shipping", 1).events == (STARTED,)
    assert gift.perform() == []  # the parcel is wrapped, which causes the unwrap call
    assert gift.perform() == [UNWRAPPED]


def test_without_paper_the_step_fails() -> None:
    gift = service(MemoryWrapper(sheets=0))
    gift.receive(CAPTURED, "payment", 1)
    assert gift.perform() == [NO_PAPER]


def test_a_crash_at_any_point_changes_nothing() -> None:
    wrappers: list[MemoryWrapper] = []

    def make(faults: Faults) -> InMemoryService[Gift]:
        wrappers.append(MemoryWrapper())
        return service(wrappers[-1], faults)

    def deliver(gift: InMemoryService[Gift]) -> None:
        gift.receive(CAPTURED, "payment", 1)
        gift.perform()
        gift.receive(FAILED, "shipping", 1)
        gift.perform()

    crashed = check_crash_points(make, deliver)
    assert all(crashed.values())
    assert len({wrapper.sheets for wrapper in wrappers}) == 1


def test_the_wrapper_keeps_its_promise_to_the_kit() -> None:
    wrapper = MemoryWrapper()
    assert asyncio.run(check_idempotent(wrapper.wrap, WRAP)) == Wrapped("red")
    assert asyncio.run(check_idempotent(wrapper.unwrap, UNWRAP)) == Unwrapped()
    assert wrapper.sheets == 999


def test_its_neighbours_are_triggered_without_a_change_of_theirs() -> None:
    assert Router(FLOWS, "shipping").route("order/5", WRAPPED).triggers == (Do(WRAPPED),)
    for event in (UNWRAPPED, NO_PAPER):
        triggers = Router(FLOWS, "payment").route("order/5", event).triggers
        assert triggers == (Undo(event, event.reason),)
