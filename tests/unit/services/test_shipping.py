"""Shipping: what it answers in every situation, and the races that matter told as stories."""

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
from sagakit.store.memory import MemoryStore
from sagakit.store.ports import Participant
from sagakit.testing import Arrival, DecisionMatrix, emits, given, round_trip, row_of
from schemas.events import (
    OrderCancelRequested,
    PaymentCaptured,
    ShipmentCancelled,
    ShipmentCancelRefused,
    ShipmentCancelStarted,
    ShipmentCreated,
    ShipmentFailed,
    ShipmentPartlyPickedUp,
    ShipmentPickedUp,
    ShipmentReportDoubted,
)
from services.shipping.decide import (
    Cancelled,
    Labelled,
    Phase,
    PickedUp,
    Refused,
    Shipment,
    TooLate,
    awaits_label,
    decide,
    evolve,
)
from services.shipping.store import store
from tests.order_facts import TWO_TEAS

SHIPPING = Participant("shipping", decide, evolve, MemoryStore(Shipment()))
FACTS = replace(TWO_TEAS, ship_to="1 Main Street\nSpringfield")
LABEL_KEY, CANCEL_KEY = "label", "cancel"
LABEL = Effect("label", LABEL_KEY, {"order_id": "o1", "order": FACTS.to_dict()})
TAKEN = "the carrier has picked the parcel up; ask the customer to send it back"


def captured(**changes: Any) -> PaymentCaptured:
    event = PaymentCaptured(
        order_id="o1", order=FACTS, charge_id="ch1", amount_minor=2500, currency="EUR"
    )
    return replace(event, **changes)


def undo(reason: str = "changed my mind") -> Undo:
    return Undo(OrderCancelRequested(order_id="o1", actor="ada", reason=reason), reason)


def cancel(label_id: str | None, reason: str = "changed my mind") -> Effect:
    payload = {"order_id": "o1", "label_id": label_id, "reason": reason}
    return Effect("cancel", CANCEL_KEY, payload)


def label_result(result: Any) -> EffectResult:
    return EffectResult(LABEL, result)


def cancel_result(result: Any) -> EffectResult:
    return EffectResult(cancel("lb1"), result)


CREATED = ShipmentCreated(order_id="o1", order=FACTS, label_id="lb1", tracking="T1")
PICKED_UP = ShipmentPickedUp(order_id="o1", order=FACTS, label_id="lb1", tracking="T1")
FAILED = ShipmentFailed(order_id="o1", code="refused", reason="no such street")
STARTED_BLIND = ShipmentCancelStarted(order_id="o1", reason="changed my mind")
STARTED = ShipmentCancelStarted(
    order_id="o1", label_id="lb1", reason="changed my mind", order=FACTS, tracking="T1"
)
FENCE = ShipmentCancelled(order_id="o1", reason="changed my mind")
CANCELLED = replace(FENCE, label_id="lb1")
REFUSED = ShipmentCancelRefused(order_id="o1", label_id="lb1", reason=TAKEN)
PARCEL = PickedUp("o1", "lb1", "T1")
TWO = replace(CREATED, parcels=2)
PARTLY = ShipmentPartlyPickedUp(
    order_id="o1",
    order=FACTS,
    label_id="lb1",
    tracking="T1",
    parcels=2,
    reason="1 of 2 parcels are picked up",
)
FIRST, SECOND = PickedUp("o1", "lb1", "T1", 2), PickedUp("o1", "lb1", "T2", 2)
DOUBTED = ShipmentReportDoubted(
    order_id="o1",
    label_id="lb9",
    tracking="T9",
    reason="the carrier reports a pickup with label lb9; the shipment has lb1",
)

NEVER_MADE = ShipmentReportDoubted(
    order_id="o1",
    label_id="lb1",
    tracking="T1",
    reason="the carrier reports a pickup with label lb1; the shipment has none",
)
NEVER_MADE_LB9 = replace(
    DOUBTED, reason="the carrier reports a pickup with label lb9; the shipment has none"
)
OF_TWO = replace(
    NEVER_MADE,
    reason="the carrier reports a pickup with label lb1 for 2 parcels; the shipment has 1",
)

# --- the matrix -----------------------------------------------------------------------------------

STATES: dict[str, tuple[Any, ...]] = {
    "new": (),
    "labelled": (CREATED,),
    "partly_picked_up": (TWO, PARTLY),
    "picked_up": (CREATED, PICKED_UP),
    "failed": (FAILED,),
    "cancelling, label unknown": (STARTED_BLIND,),
    "cancelling": (CREATED, STARTED),
    "fenced": (FENCE,),
    "cancelled": (CREATED, STARTED, CANCELLED),
}
TRIGGERS: dict[str, Trigger | Arrival] = {
    "do": Do(captured()),
    "do, label in flight": Arrival(Do(captured()), (LABEL_KEY,)),
    "do, invalid": Do(captured(order=replace(FACTS, lines=()))),
    "do, late capture": Do(captured(late=True)),
    "undo": undo(),
    "undo, label in flight": Arrival(undo(), (LABEL_KEY,)),
    "undo, cancel in flight": Arrival(undo(), (CANCEL_KEY,)),
    "label: labelled": label_result(Labelled("lb1", "T1")),
    "label: refused": label_result(Refused("no such street")),
    "label: picked up": label_result(PARCEL),
    "cancel: cancelled": cancel_result(Cancelled()),
    "cancel: too late": cancel_result(TooLate()),
    "pickup reported": Callback(PARCEL),
    "pickup reported, label in flight": Arrival(Callback(PARCEL), (LABEL_KEY,)),
    "pickup reported, cancel in flight": Arrival(Callback(PARCEL), (CANCEL_KEY,)),
    "pickup of one of two reported": Callback(FIRST),
    "pickup of the second of two reported": Callback(SECOND),
    "pickup of another label reported": Callback(PickedUp("o1", "lb9", "T9")),
    "other callback": Callback(Cancelled()),
    "observed": Observed("completed", captured()),
    "verdict": Command("approve", "bob", "fine"),
    "result of another kind": EffectResult(Effect("other", "other", {}), Cancelled()),
}


row = partial(row_of, STATES)
INVALID = ShipmentFailed(
    order_id="o1",
    code="invalid",
    reason="lines has 0 entries: an order has 1 to 1000",
)
LATE = replace(STARTED, reason="the label came too late")
CELLS: dict[str, dict[str, Decision]] = {
    "do": row(new=Decision(effects=(LABEL,))),
    # the key is pending: the same effect again changes nothing
    "do, label in flight": row(new=Decision(effects=(LABEL,))),
    "do, invalid": row(new=emits(INVALID)),
    "do, late capture": row(),
    "undo": row(
        new=emits(FENCE),
        labelled=Decision((STARTED,), (cancel("lb1"),)),
        partly_picked_up=emits(REFUSED),
        picked_up=emits(REFUSED),
        failed=emits(FENCE),
        cancelling_label_unknown=Decision(effects=(cancel(None),)),
        cancelling=Decision(effects=(cancel("lb1"),)),
        fenced=emits(FENCE),
        cancelled=emits(CANCELLED),
    ),
    "undo, label in flight": row(
        new=emits(STARTED_BLIND),
        labelled=Decision((STARTED,), (cancel("lb1"),)),
        partly_picked_up=emits(REFUSED),
        picked_up=emits(REFUSED),
        failed=emits(FENCE),
        fenced=emits(FENCE),
        cancelled=emits(CANCELLED),
    ),
    "undo, cancel in flight": row(
        new=emits(FENCE),
        labelled=Decision((STARTED,), (cancel("lb1"),)),
        partly_picked_up=emits(REFUSED),
        picked_up=emits(REFUSED),
        failed=emits(FENCE),
        cancelling_label_unknown=Decision(effects=(cancel(None),)),
        cancelling=Decision(effects=(cancel("lb1"),)),
        fenced=emits(FENCE),
        cancelled=emits(CANCELLED),
    ),
    "label: labelled": row(
        new=emits(CREATED),
        failed=Decision((LATE,), (cancel("lb1", LATE.reason),)),
        cancelling_label_unknown=Decision((STARTED,), (cancel("lb1"),)),
        cancelling=Decision((STARTED,), (cancel("lb1"),)),
        fenced=Decision((STARTED,), (cancel("lb1"),)),
        cancelled=Decision((STARTED,), (cancel("lb1"),)),
    ),
    "label: refused": row(
        new=emits(FAILED), cancelling_label_unknown=emits(FENCE), cancelling=emits(CANCELLED)
    ),
    "label: picked up": row(
        new=emits(CREATED, PICKED_UP),
        labelled=emits(PICKED_UP),
        failed=emits(PICKED_UP),
        cancelling_label_unknown=emits(PICKED_UP, REFUSED),
        cancelling=emits(PICKED_UP, REFUSED),
        fenced=emits(PICKED_UP),
        cancelled=emits(PICKED_UP),
    ),
    "cancel: cancelled": row(
        new=emits(FENCE),
        labelled=emits(CANCELLED),
        partly_picked_up=emits(REFUSED),
        picked_up=emits(REFUSED),
        failed=emits(FENCE),
        cancelling_label_unknown=emits(FENCE),
        cancelling=emits(CANCELLED),
    ),
    # without the order's facts the refusal alone tells that the parcel is gone
    "cancel: too late": row(
        new=emits(replace(REFUSED, label_id="")),
        labelled=emits(PICKED_UP, REFUSED),
        partly_picked_up=emits(REFUSED),
        picked_up=emits(REFUSED),
        failed=emits(replace(REFUSED, label_id="")),
        cancelling_label_unknown=emits(replace(REFUSED, label_id="")),
        cancelling=emits(PICKED_UP, REFUSED),
        fenced=emits(replace(REFUSED, label_id="")),
        cancelled=emits(PICKED_UP, REFUSED),
    ),
    # without a known label it is not taken: see test_a_pickup_before_its_label_is_not_accepted
    "pickup reported": row(
        labelled=emits(PICKED_UP),
        failed=emits(NEVER_MADE),
        cancelling=emits(PICKED_UP, REFUSED),
        fenced=emits(NEVER_MADE),
        cancelled=emits(PICKED_UP),
    ),
    "pickup reported, label in flight": row(
        labelled=emits(PICKED_UP),
        failed=emits(NEVER_MADE),
        cancelling=emits(PICKED_UP, REFUSED),
        fenced=emits(NEVER_MADE),
        cancelled=emits(PICKED_UP),
    ),
    # the cancel call in flight brings the refusal that answers the Undo
    "pickup reported, cancel in flight": row(
        labelled=emits(PICKED_UP),
        failed=emits(NEVER_MADE),
        cancelling=emits(PICKED_UP),
        fenced=emits(NEVER_MADE),
        cancelled=emits(PICKED_UP),
    ),
    "pickup of one of two reported": row(
        labelled=emits(OF_TWO),
        failed=emits(NEVER_MADE),
        cancelling=emits(OF_TWO),
        fenced=emits(NEVER_MADE),
        cancelled=emits(OF_TWO),
    ),
    "pickup of the second of two reported": row(
        labelled=emits(replace(OF_TWO, tracking="T2")),
        partly_picked_up=emits(replace(PICKED_UP, tracking="T2")),
        failed=emits(replace(NEVER_MADE, tracking="T2")),
        cancelling=emits(replace(OF_TWO, tracking="T2")),
        fenced=emits(replace(NEVER_MADE, tracking="T2")),
        cancelled=emits(replace(OF_TWO, tracking="T2")),
    ),
    "pickup of another label reported": row(
        labelled=emits(DOUBTED),
        partly_picked_up=emits(DOUBTED),
        picked_up=emits(DOUBTED),
        failed=emits(NEVER_MADE_LB9),
        cancelling=emits(DOUBTED),
        fenced=emits(NEVER_MADE_LB9),
        cancelled=emits(DOUBTED),
    ),
    "other callback": row(),
    "observed": row(),
    "verdict": row(),
    "result of another kind": row(),
}


MATRIX = DecisionMatrix(SHIPPING, Shipment(), STATES, TRIGGERS, CELLS, Phase)


def test_the_matrix_is_complete() -> None:
    MATRIX.check_complete()


@pytest.mark.parametrize(("trigger", "state"), MATRIX.pairs)
def test_each_cell_of_the_matrix(trigger: str, state: str) -> None:
    MATRIX.check(trigger, state)


@pytest.mark.parametrize("name", sorted(STATES.keys() - {"failed", "fenced"}))
def test_reported_twice_a_pickup_is_nothing_new(name: str) -> None:
    decision = MATRIX.given(name).when(Callback(PARCEL)).decision
    after = MATRIX.given(name).when(Callback(PARCEL)).then(*decision.events)
    after.when(Callback(PARCEL)).then_nothing()


@pytest.mark.parametrize("name", STATES)
def test_the_state_survives_its_table(name: str) -> None:
    state = MATRIX.given(name).state
    assert round_trip(store(), state) == replace(state, in_flight=frozenset())


# --- stories --------------------------------------------------------------------------------------


def test_a_captured_order_gets_a_label_and_is_picked_up() -> None:
    asked = given(SHIPPING, Shipment()).when(Do(captured())).then(effects=[LABEL])
    made = asked.without_pending(LABEL_KEY).when(label_result(Labelled("lb1", "T1"))).then(CREATED)
    made.when(Callback(PARCEL)).then(PICKED_UP).when(Do(captured())).then_nothing()


def test_of_two_parcels_the_first_ships_nothing_and_the_last_does() -> None:
    made = MATRIX.given("new").when(label_result(Labelled("lb1", "T1", 2))).then(TWO)
    one = made.when(Callback(FIRST)).then(PARTLY)
    one.when(Callback(FIRST)).then_nothing().when(undo()).then(REFUSED)
    both = one.when(Callback(SECOND)).then(replace(PICKED_UP, tracking="T2"))
    assert both.state.phase is Phase.PICKED_UP
    both.when(Callback(FIRST)).then_nothing()


def test_one_of_two_parcels_refuses_the_undo_and_is_emitted_after_a_cancellation_too() -> None:
    cancelling = given(SHIPPING, Shipment(), TWO, replace(STARTED, parcels=2))
    cancelling.when(Callback(FIRST)).then(PARTLY, REFUSED)
    cancelling.when(cancel_result(Cancelled())).then(CANCELLED).when(Callback(FIRST)).then(PARTLY)


@pytest.mark.parametrize("parcels", [1, 3, 10_000])
def test_another_number_of_parcels_than_the_label_has_calls_a_person(parcels: int) -> None:
    labelled = given(SHIPPING, Shipment(), TWO)
    reason = (
        f"the carrier reports a pickup with label lb1 for {parcels} parcels; the shipment has 2"
    )
    doubted = labelled.when(Callback(replace(FIRST, parcels=parcels)))
    doubted.then(replace(NEVER_MADE, reason=reason)).when(Callback(FIRST)).then(PARTLY)


def test_without_a_number_a_pickup_is_of_one_of_the_parcels_that_the_label_has() -> None:
    given(SHIPPING, Shipment(), TWO).when(Callback(PARCEL)).then(PARTLY)


@pytest.mark.parametrize("label_id", ["lb1", "lb9"])
def test_a_pickup_after_a_refused_label_was_undone_is_believed_of_no_label(label_id: str) -> None:
    undone = given(SHIPPING, Shipment(), FAILED).when(undo()).then(FENCE)
    report = undone.when(Callback(PickedUp("o1", label_id, "T9"))).decision
    assert [type(event) for event in report.events] == [ShipmentReportDoubted]
    after = given(SHIPPING, Shipment(), FAILED, FENCE, *report.events)
    assert after.state.phase is Phase.CANCELLED


def test_a_label_of_two_parcels_that_is_too_late_to_cancel_waits_for_both_pickups() -> None:
    cancelling = given(SHIPPING, Shipment(), TWO, STARTED).when(cancel_result(TooLate()))
    refused = cancelling.then(REFUSED)
    assert refused.state.phase is Phase.PARTLY_PICKED_UP
    one = refused.when(Callback(FIRST)).then(PARTLY)
    one.when(Callback(SECOND)).then(replace(PICKED_UP, tracking="T2"))


def test_a_label_of_two_parcels_that_came_during_an_undo_waits_for_both_pickups() -> None:
    waiting = given(SHIPPING, Shipment()).when(Do(captured())).then(effects=[LABEL])
    undone = waiting.when(undo()).then(STARTED_BLIND).without_pending(LABEL_KEY)
    labelled = undone.when(label_result(Labelled("lb1", "T1", 2)))
    cancelling = labelled.then(replace(STARTED, parcels=2), effects=[cancel("lb1")])
    refused = cancelling.without_pending(CANCEL_KEY).when(cancel_result(TooLate())).then(REFUSED)
    one = refused.when(Callback(FIRST)).then(PARTLY)
    one.when(Callback(SECOND)).then(replace(PICKED_UP, tracking="T2"))


def test_undo_before_do_leaves_a_fence() -> None:
    fenced = given(SHIPPING, Shipment()).when(undo()).then(FENCE)
    fenced.when(Do(captured())).then_nothing().when(undo()).then(FENCE)


def test_undo_waits_for_the_label_in_flight_and_cancels_it() -> None:
    asked = given(SHIPPING, Shipment()).when(Do(captured())).then(effects=[LABEL])
    waiting = asked.when(undo()).then(STARTED_BLIND).when(undo("again")).then_nothing()
    labelled = waiting.without_pending(LABEL_KEY).when(label_result(Labelled("lb1", "T1")))
    cancelling = labelled.then(STARTED, effects=[cancel("lb1")])
    cancelling.without_pending(CANCEL_KEY).when(cancel_result(Cancelled())).then(CANCELLED)


def test_a_pickup_overtakes_the_cancellation() -> None:
    cancelling = MATRIX.given("labelled").when(undo()).then(STARTED, effects=[cancel("lb1")])
    gone = cancelling.when(Callback(PARCEL)).then(PICKED_UP)
    refused = gone.without_pending(CANCEL_KEY).when(cancel_result(TooLate())).then(REFUSED)
    refused.when(undo()).then(REFUSED).when(undo()).then(REFUSED)


def test_a_cancellation_that_comes_too_late_reports_the_pickup() -> None:
    cancelling = MATRIX.given("labelled").when(undo()).then(STARTED, effects=[cancel("lb1")])
    gone = (
        cancelling.without_pending(CANCEL_KEY)
        .when(cancel_result(TooLate()))
        .then(PICKED_UP, REFUSED)
    )
    gone.when(Callback(PARCEL)).then_nothing()


def test_a_parcel_picked_up_after_its_cancellation_does_not_vanish() -> None:
    MATRIX.given("cancelled").when(Callback(PARCEL)).then(PICKED_UP).when(undo()).then(REFUSED)


def test_a_pickup_before_its_label_is_not_accepted() -> None:
    asked = given(SHIPPING, Shipment()).when(Do(captured())).then(effects=[LABEL])
    assert awaits_label(asked.state)
    asked.when(Callback(PARCEL)).then_nothing()
    waiting = asked.when(undo()).then(STARTED_BLIND)
    assert awaits_label(waiting.state)
    made = asked.without_pending(LABEL_KEY).when(label_result(Labelled("lb1", "T1"))).then(CREATED)
    assert not awaits_label(made.state)


@pytest.mark.parametrize("name", sorted(STATES.keys() - {"new", "cancelling, label unknown"}))
def test_a_pickup_is_accepted_when_no_label_is_awaited(name: str) -> None:
    assert not awaits_label(MATRIX.given(name).state)


def test_a_database_rebuilt_while_cancelling_asks_the_carrier_again() -> None:
    rebuilt = MATRIX.given("cancelling, label unknown")
    asked = rebuilt.when(undo("again")).then(effects=[cancel(None)])
    asked.without_pending(CANCEL_KEY).when(cancel_result(Cancelled())).then(FENCE)


def test_reasons_are_stored_without_control_characters() -> None:
    MATRIX.given("new").when(undo("a\0b")).then(replace(FENCE, reason="a b"))
