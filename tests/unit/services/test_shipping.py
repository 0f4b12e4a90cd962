"""Shipping: what it answers in every situation, and the races that matter told as stories."""

from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import pytest

from sagakit.decider import Callback, Command, Do, Effect, EffectResult, Observed, Trigger, Undo
from sagakit.store.memory import MemoryStore
from sagakit.store.ports import Participant
from schemas.events import (
    OrderCancelRequested,
    PaymentCaptured,
    ShipmentCancelled,
    ShipmentCancelRefused,
    ShipmentCancelStarted,
    ShipmentCreated,
    ShipmentFailed,
    ShipmentPickedUp,
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
from tests.gwt import Given, given, through_its_table
from tests.order_facts import TWO_TEAS

SHIPPING = Participant("shipping", decide, evolve, MemoryStore(Shipment()))
FACTS = replace(TWO_TEAS, ship_to="1 Main Street\nSpringfield")
LABEL_KEY, CANCEL_KEY = "label:o1", "cancel:o1"
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
    payload = {"order_id": "o1", "label_id": label_id, "label_key": LABEL_KEY, "reason": reason}
    return Effect("cancel", CANCEL_KEY, payload)


def label_said(result: Any) -> EffectResult:
    return EffectResult(LABEL, result)


def cancel_said(result: Any) -> EffectResult:
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

# --- the table ------------------------------------------------------------------------------------

SITUATIONS: dict[str, tuple[Any, ...]] = {
    "new": (),
    "labelled": (CREATED,),
    "picked_up": (CREATED, PICKED_UP),
    "failed": (FAILED,),
    "cancelling, label unknown": (STARTED_BLIND,),
    "cancelling": (CREATED, STARTED),
    "fenced": (FENCE,),
    "cancelled": (CREATED, STARTED, CANCELLED),
}
TRIGGERS: dict[str, tuple[Trigger, tuple[str, ...]]] = {
    "do": (Do(captured()), ()),
    "do, label in flight": (Do(captured()), (LABEL_KEY,)),
    "do, invalid": (Do(captured(order=replace(FACTS, lines=()))), ()),
    "do, late capture": (Do(captured(late=True)), ()),
    "undo": (undo(), ()),
    "undo, label in flight": (undo(), (LABEL_KEY,)),
    "undo, cancel in flight": (undo(), (CANCEL_KEY,)),
    "label: labelled": (label_said(Labelled("lb1", "T1")), ()),
    "label: refused": (label_said(Refused("no such street")), ()),
    "label: picked up": (label_said(PARCEL), ()),
    "cancel: cancelled": (cancel_said(Cancelled()), ()),
    "cancel: too late": (cancel_said(TooLate()), ()),
    "pickup reported": (Callback(PARCEL), ()),
    "pickup reported, label in flight": (Callback(PARCEL), (LABEL_KEY,)),
    "pickup reported, cancel in flight": (Callback(PARCEL), (CANCEL_KEY,)),
    "other callback": (Callback(Cancelled()), ()),
    "observed": (Observed("completed", captured()), ()),
    "verdict": (Command("approve", "bob", "fine"), ()),
    "result of another kind": (EffectResult(Effect("other", "other:o1", {}), Cancelled()), ()),
}


@dataclass(frozen=True)
class Answer:
    events: tuple[Any, ...] = ()
    effects: tuple[Effect, ...] = ()


NO = Answer()


def says(*events: Any) -> Answer:
    return Answer(events)


def nothing_but(**answers: Answer) -> dict[str, Answer]:
    """A column of the table; names as in SITUATIONS with `_` for what is between the words."""
    names = {s.replace(", ", "_").replace(" ", "_"): s for s in SITUATIONS}
    assert answers.keys() <= names.keys()
    return {names[name]: answers.get(name, NO) for name in names}


INVALID = ShipmentFailed(
    order_id="o1",
    code="invalid",
    reason="lines has 0 entries: an order has 1 to 1000",
)
LATE = replace(STARTED, reason="the label came too late")
TABLE: dict[str, dict[str, Answer]] = {
    "do": nothing_but(new=Answer(effects=(LABEL,))),
    # the key is pending: the same effect again changes nothing
    "do, label in flight": nothing_but(new=Answer(effects=(LABEL,))),
    "do, invalid": nothing_but(new=says(INVALID)),
    "do, late capture": nothing_but(),
    "undo": nothing_but(
        new=says(FENCE),
        labelled=Answer((STARTED,), (cancel("lb1"),)),
        picked_up=says(REFUSED),
        failed=says(FENCE),
        cancelling_label_unknown=Answer(effects=(cancel(None),)),
        cancelling=Answer(effects=(cancel("lb1"),)),
        fenced=says(FENCE),
        cancelled=says(CANCELLED),
    ),
    "undo, label in flight": nothing_but(
        new=says(STARTED_BLIND),
        labelled=Answer((STARTED,), (cancel("lb1"),)),
        picked_up=says(REFUSED),
        failed=says(FENCE),
        fenced=says(FENCE),
        cancelled=says(CANCELLED),
    ),
    "undo, cancel in flight": nothing_but(
        new=says(FENCE),
        labelled=Answer((STARTED,), (cancel("lb1"),)),
        picked_up=says(REFUSED),
        failed=says(FENCE),
        cancelling_label_unknown=Answer(effects=(cancel(None),)),
        cancelling=Answer(effects=(cancel("lb1"),)),
        fenced=says(FENCE),
        cancelled=says(CANCELLED),
    ),
    "label: labelled": nothing_but(
        new=says(CREATED),
        failed=Answer((LATE,), (cancel("lb1", LATE.reason),)),
        cancelling_label_unknown=Answer((STARTED,), (cancel("lb1"),)),
        cancelling=Answer((STARTED,), (cancel("lb1"),)),
        fenced=Answer((STARTED,), (cancel("lb1"),)),
        cancelled=Answer((STARTED,), (cancel("lb1"),)),
    ),
    "label: refused": nothing_but(
        new=says(FAILED), cancelling_label_unknown=says(FENCE), cancelling=says(CANCELLED)
    ),
    "label: picked up": nothing_but(
        new=says(CREATED, PICKED_UP),
        labelled=says(PICKED_UP),
        failed=says(PICKED_UP),
        cancelling_label_unknown=says(PICKED_UP, REFUSED),
        cancelling=says(PICKED_UP, REFUSED),
        fenced=says(PICKED_UP),
        cancelled=says(PICKED_UP),
    ),
    "cancel: cancelled": nothing_but(
        new=says(FENCE),
        labelled=says(CANCELLED),
        picked_up=says(REFUSED),
        failed=says(FENCE),
        cancelling_label_unknown=says(FENCE),
        cancelling=says(CANCELLED),
    ),
    # without the order's facts the refusal alone tells that the parcel is gone
    "cancel: too late": nothing_but(
        new=says(replace(REFUSED, label_id="")),
        labelled=says(PICKED_UP, REFUSED),
        picked_up=says(REFUSED),
        failed=says(replace(REFUSED, label_id="")),
        cancelling_label_unknown=says(replace(REFUSED, label_id="")),
        cancelling=says(PICKED_UP, REFUSED),
        fenced=says(replace(REFUSED, label_id="")),
        cancelled=says(PICKED_UP, REFUSED),
    ),
    # without a known label it is not taken: see test_a_pickup_too_early_is_not_taken
    "pickup reported": nothing_but(
        labelled=says(PICKED_UP),
        failed=says(REFUSED),
        cancelling=says(PICKED_UP, REFUSED),
        fenced=says(REFUSED),
        cancelled=says(PICKED_UP),
    ),
    "pickup reported, label in flight": nothing_but(
        labelled=says(PICKED_UP),
        failed=says(REFUSED),
        cancelling=says(PICKED_UP, REFUSED),
        fenced=says(REFUSED),
        cancelled=says(PICKED_UP),
    ),
    # the cancel call in flight brings the refusal that answers the Undo
    "pickup reported, cancel in flight": nothing_but(
        labelled=says(PICKED_UP),
        failed=says(REFUSED),
        cancelling=says(PICKED_UP),
        fenced=says(REFUSED),
        cancelled=says(PICKED_UP),
    ),
    "other callback": nothing_but(),
    "observed": nothing_but(),
    "verdict": nothing_but(),
    "result of another kind": nothing_but(),
}
CELLS = [(t, s) for t in TABLE for s in TABLE[t]]


def situation(name: str, *in_flight: str) -> Given:
    return given(SHIPPING, Shipment(), *SITUATIONS[name], in_flight=in_flight)


def test_no_cell_of_the_table_is_blank() -> None:
    assert {situation(name).state.phase for name in SITUATIONS} == set(Phase)
    assert set(CELLS) == set(product(TRIGGERS, SITUATIONS))


@pytest.mark.parametrize(("trigger", "name"), CELLS)
def test_every_cell(trigger: str, name: str) -> None:
    told, in_flight = TRIGGERS[trigger]
    answer = TABLE[trigger][name]
    situation(name, *in_flight).when(told).then(*answer.events, effects=answer.effects)


@pytest.mark.parametrize("name", SITUATIONS)
def test_told_twice_a_pickup_is_nothing_new(name: str) -> None:
    decision = situation(name).when(Callback(PARCEL)).decision
    after = situation(name).when(Callback(PARCEL)).then(*decision.events)
    after.when(Callback(PARCEL)).then_nothing()


@pytest.mark.parametrize("name", SITUATIONS)
def test_the_state_survives_its_table(name: str) -> None:
    state = situation(name).state
    assert through_its_table(store(), state) == replace(state, in_flight=frozenset())


# --- stories --------------------------------------------------------------------------------------


def landed(given_: Given, *keys: str) -> Given:
    """The effects of these keys are no longer in flight: their outcome is being handled."""
    return replace(given_, state=replace(given_.state, in_flight=given_.state.in_flight - {*keys}))


def test_the_straight_way() -> None:
    asked = given(SHIPPING, Shipment()).when(Do(captured())).then(effects=[LABEL])
    made = landed(asked, LABEL_KEY).when(label_said(Labelled("lb1", "T1"))).then(CREATED)
    made.when(Callback(PARCEL)).then(PICKED_UP).when(Do(captured())).then_nothing()


def test_undo_before_do_leaves_a_fence() -> None:
    fenced = given(SHIPPING, Shipment()).when(undo()).then(FENCE)
    fenced.when(Do(captured())).then_nothing().when(undo()).then(FENCE)


def test_undo_waits_for_the_label_in_flight_and_cancels_it() -> None:
    asked = given(SHIPPING, Shipment()).when(Do(captured())).then(effects=[LABEL])
    waiting = asked.when(undo()).then(STARTED_BLIND).when(undo("again")).then_nothing()
    labelled = landed(waiting, LABEL_KEY).when(label_said(Labelled("lb1", "T1")))
    cancelling = labelled.then(STARTED, effects=[cancel("lb1")])
    landed(cancelling, CANCEL_KEY).when(cancel_said(Cancelled())).then(CANCELLED)


def test_a_pickup_overtakes_the_cancellation() -> None:
    cancelling = situation("labelled").when(undo()).then(STARTED, effects=[cancel("lb1")])
    gone = cancelling.when(Callback(PARCEL)).then(PICKED_UP)
    refused = landed(gone, CANCEL_KEY).when(cancel_said(TooLate())).then(REFUSED)
    refused.when(undo()).then(REFUSED).when(undo()).then(REFUSED)


def test_the_cancellation_hears_of_the_pickup_first() -> None:
    cancelling = situation("labelled").when(undo()).then(STARTED, effects=[cancel("lb1")])
    gone = landed(cancelling, CANCEL_KEY).when(cancel_said(TooLate())).then(PICKED_UP, REFUSED)
    gone.when(Callback(PARCEL)).then_nothing()


def test_a_parcel_picked_up_after_its_cancellation_does_not_vanish() -> None:
    situation("cancelled").when(Callback(PARCEL)).then(PICKED_UP).when(undo()).then(REFUSED)


def test_a_pickup_too_early_is_not_taken() -> None:
    asked = given(SHIPPING, Shipment()).when(Do(captured())).then(effects=[LABEL])
    assert awaits_label(asked.state)
    asked.when(Callback(PARCEL)).then_nothing()
    waiting = asked.when(undo()).then(STARTED_BLIND)
    assert awaits_label(waiting.state)
    made = landed(asked, LABEL_KEY).when(label_said(Labelled("lb1", "T1"))).then(CREATED)
    assert not awaits_label(made.state)


@pytest.mark.parametrize("name", sorted(SITUATIONS.keys() - {"new", "cancelling, label unknown"}))
def test_a_pickup_that_has_a_place_is_taken(name: str) -> None:
    assert not awaits_label(situation(name).state)


def test_a_database_rebuilt_while_cancelling_asks_the_carrier_again() -> None:
    rebuilt = situation("cancelling, label unknown")
    asked = rebuilt.when(undo("again")).then(effects=[cancel(None)])
    landed(asked, CANCEL_KEY).when(cancel_said(Cancelled())).then(FENCE)


def test_reasons_are_stored_without_control_characters() -> None:
    situation("new").when(undo("a\0b")).then(replace(FENCE, reason="a b"))
