"""Fraud: what it answers in every situation."""

from dataclasses import replace
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
from sagakit.flow.routing import Router
from sagakit.store.memory import MemoryStore
from sagakit.store.ports import Participant
from sagakit.testing import NOW, DecisionMatrix, emits, round_trip, row_of
from schemas import FLOWS
from schemas.events import (
    FraudCleared,
    FraudRejected,
    FraudWithdrawn,
    InventoryRejected,
    InventoryReserved,
    OrderPlaced,
    PaymentRefunded,
)
from services.fraud.decide import REJECT_FROM, Phase, Screening, decide, evolve
from services.fraud.store import store
from services.payment.decide import Policy
from tests.order_facts import TWO_TEAS

FRAUD = Participant("fraud", decide, evolve, MemoryStore(Screening()))
ADA = TWO_TEAS.email
FACTS = TWO_TEAS


def placed(**other: Any) -> OrderPlaced:
    return OrderPlaced(order_id="o1", order=replace(FACTS, **other), placed_at=NOW)


def withdrawn(reason: str = "no money", email: str | None = ADA) -> FraudWithdrawn:
    return FraudWithdrawn(order_id="o1", reason=reason, email=email)


CLEARED = FraudCleared(order_id="o1", order=FACTS)
REJECTED = FraudRejected(
    order_id="o1", code="score", reason=f"the fraud score 1.0 is {REJECT_FROM} or more", email=ADA
)
SHORT = InventoryRejected(order_id="o1", code="out_of_stock", reason="none left", skus=("tea",))
REFUNDED = PaymentRefunded(order_id="o1", amount_minor=2500, reason="no money")

# --- the matrix -----------------------------------------------------------------------------------

STATES: dict[str, tuple[Any, ...]] = {
    Phase.NEW: (),
    Phase.CLEARED: (CLEARED,),
    Phase.REJECTED: (REJECTED,),
    Phase.WITHDRAWN: (CLEARED, withdrawn()),
}
TRIGGERS: dict[str, Trigger] = {
    "do": Do(placed()),
    "do, doubtful": Do(placed(fraud_score=1.0)),
    "do, no order": Do(placed(ship_to="")),
    "undo": Undo(REFUNDED, "no money"),
    "undo, one beside it failed": Undo(SHORT, "none left"),
    "undo, with a control character": Undo(REFUNDED, "no\0money"),
    "observed": Observed("completed", placed()),
    "outcome": EffectResult(Effect("call", "call:o1", {}), None),
    "callback": Callback(None),
    "verdict": Command("approve", "bob", "fine"),
}
NO_ORDER = FraudRejected(
    order_id="o1",
    code="invalid",
    reason="ship_to is empty: give an address of 1 to 1000 characters",
    email=ADA,
)


row = partial(row_of, STATES)


def undone(reason: str) -> dict[str, Decision]:
    """Every state answers an undo; a fence does not know the customer's address."""
    known = dict.fromkeys(STATES, emits(withdrawn(reason)))
    return known | {Phase.NEW: emits(withdrawn(reason, None))}


CELLS: dict[str, dict[str, Decision]] = {
    "do": row(new=emits(CLEARED)),
    "do, doubtful": row(new=emits(REJECTED)),
    "do, no order": row(new=emits(NO_ORDER)),
    "undo": undone("no money"),
    "undo, one beside it failed": undone("none left"),
    "undo, with a control character": undone("no money"),
    "observed": row(),
    "outcome": row(),
    "callback": row(),
    "verdict": row(),
}


MATRIX = DecisionMatrix(FRAUD, Screening(), STATES, TRIGGERS, CELLS, Phase)


def test_the_matrix_is_complete() -> None:
    MATRIX.check_complete()


@pytest.mark.parametrize(("trigger", "state"), MATRIX.pairs)
def test_each_cell_of_the_matrix(trigger: str, state: str) -> None:
    MATRIX.check(trigger, state)


@pytest.mark.parametrize("phase", Phase)
def test_the_state_survives_its_table(phase: Phase) -> None:
    state = MATRIX.given(phase).state
    assert round_trip(store(), state) == state


# --- the rule -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("score", "event_type"),
    [(0.0, FraudCleared), (0.9899, FraudCleared), (0.99, FraudRejected), (1.0, FraudRejected)],
)
def test_the_score_decides(score: float, event_type: type[Any]) -> None:
    then = MATRIX.given(Phase.NEW).when(Do(placed(fraud_score=score)))
    assert [type(e) for e in then.decision.events] == [event_type]


def test_fraud_does_not_reject_the_scores_that_payment_sends_to_a_person() -> None:
    assert Policy().fraud_above < REJECT_FROM


def test_a_fence_takes_the_address_from_the_event_that_carries_it() -> None:
    order = replace(SHORT, email=ADA)
    MATRIX.given(Phase.NEW).when(Undo(order, "none left")).then(withdrawn("none left"))


def test_a_fence_holds() -> None:
    fenced = MATRIX.given(Phase.NEW).when(Undo(REFUNDED, "no money")).then(withdrawn(email=None))
    fenced.when(Do(placed())).then_nothing()


# --- side by side ---------------------------------------------------------------------------------


@pytest.mark.parametrize("flow", ["order/3", "order/4"])
@pytest.mark.parametrize("first", ["inventory", "fraud"])
def test_payment_waits_for_inventory_and_fraud(flow: str, first: str) -> None:
    reserved = InventoryReserved(order_id="o1", order=FACTS)
    one, other = (reserved, CLEARED) if first == "inventory" else (CLEARED, reserved)
    routes = Router(FLOWS, "payment")
    waiting = routes.route(flow, one)
    assert waiting.triggers == ()
    assert routes.route(flow, other, waiting.marks).triggers == (Do(other),)


@pytest.mark.parametrize("flow", ["order/3", "order/4"])
def test_a_rejection_by_inventory_or_fraud_undoes_the_other(flow: str) -> None:
    assert Router(FLOWS, "inventory").route(flow, REJECTED).triggers == (
        Undo(REJECTED, REJECTED.reason),
    )
    assert Router(FLOWS, "fraud").route(flow, SHORT).triggers == (Undo(SHORT, "none left"),)


@pytest.mark.parametrize("flow", ["order/1", "order/2"])
def test_older_versions_trigger_nothing_in_fraud(flow: str) -> None:
    for event in (placed(), SHORT, REFUNDED):
        assert Router(FLOWS, "fraud").route(flow, event).triggers == ()
