"""Every event in every situation does what docs/reference/late-events.md declares."""

from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_OID, uuid5

import pytest

from saga_monitor.saga.deadlines import due_emissions
from saga_monitor.saga.event_matrix import DECLARED_EFFECTS, EventEffect, Situation, declared_effect
from saga_monitor.saga.event_matrix_page import PAGE, page_text, saga_events
from saga_monitor.saga.facts import Fact, Saga, fold
from saga_monitor.saga.flow_plan import Plan, Role
from saga_monitor.saga.interpreter import interpret
from saga_monitor.saga.view import UNDONE_PAST_PIVOT, UNEXPECTED, SagaView, Status
from sagakit.flow.platform_events import VERDICT_GIVEN
from schemas import CONTRACT, FLOWS, OWNERS
from tests.histories import MONEY, SAGA, START, after, facts, money_of

ROOT = Path(__file__).parents[3]
PLANS = {flow.label(v): Plan.of(flow, v) for flow in FLOWS for v in flow.versions}
STRANGE = str(uuid5(NAMESPACE_OID, "strange"))
MONEY_BACK = {"amount_minor": 0, "refund_id": None}
"""An undo of nothing."""


def story(plan: Plan, where: Situation) -> list[Any]:
    """An order in this situation, told in the words of its flow version."""
    forward = [s for place in plan.places[: plan.last_undoable] for s in place]
    ready = [plan.flow.start, *(s.done for s in forward)]
    back = [s.undone for s in reversed(forward)]
    (pivot,) = plan.pivots
    past = [*ready, pivot.done]
    behind = [s.done for place in plan.places[plan.last_undoable + 1 :] for s in place]
    events: dict[Situation, list[Any]] = {
        Situation.UNPLACED: [VERDICT_GIVEN],
        Situation.PLACED: ready[:1],
        Situation.READY: ready,
        Situation.UNDOING: [*ready, pivot.failed[0]],
        Situation.CANCELLED: [*ready, pivot.failed[0], *back],
        Situation.PAST: past,
        Situation.COMPLETED: [*past, *behind],
    }
    return events[where]


def saga(plan: Plan, where: Situation) -> Saga:
    return fold(Saga(SAGA), *facts(*story(plan, where), flow=plan.label))


def late(saga: Saga, event: str, plan: Plan) -> Saga:
    """The saga with an event that comes a minute later, counted by its participant."""
    owner = OWNERS[event]
    seq = 1 + max((f.seq or 0 for f in saga.facts.values() if f.source == owner), default=0)
    [fact] = facts(event, flow=plan.label)
    id_ = str(uuid5(NAMESPACE_OID, f"late {event}"))
    came = replace(fact, id=id_, at=after(60), seq=None if owner == "saga" else seq)
    if event in MONEY.removes and not money_of(interpret(saga, plan)).added:
        came = replace(came, detail=MONEY_BACK)
    return fold(saga, came)


def outcome(before: SagaView, now: SagaView, plan: Plan) -> EventEffect:
    """What has changed, in the words of the page."""
    if now.unexpected:
        return EventEffect.UNEXPECTED
    if Status.UNPLACED in (before.status, now.status):
        return EventEffect.NOTHING if before.status == now.status else EventEffect.STARTS
    if now.status == Status.PAUSED != before.status:
        return EventEffect.PAUSES
    codes = [{a.step for a in v.awaited if a.code == UNDONE_PAST_PIVOT} for v in (before, now)]
    if codes[1] - codes[0]:
        return EventEffect.CONTRADICTS
    if now.undoing and not before.undoing:
        return EventEffect.TURNS_BACK
    if before.status == Status.CANCELLED and now.status == Status.UNDOING:
        return EventEffect.UNDOES_AGAIN
    return EventEffect.NOTHING if course(before, plan) == course(now, plan) else EventEffect.MOVES


def course(view: SagaView, plan: Plan) -> Any:
    """Where it goes. On the way back all that matters of a step is whether something of it is
    left: what it has done, or money it holds."""
    left = {s.name for s in view.steps if s.status not in ("failed", "undone")}
    left |= {str(MONEY.step)} if money_of(view).held else set()
    steps = [] if view.undoing else [s.status for s in view.steps]
    return view.undoing, view.past_pivot, left, steps, going(view)


def going(view: SagaView) -> list[Any]:
    return [(a.step, a.mode) for a in view.awaited]


@pytest.mark.parametrize("where", Situation)
@pytest.mark.parametrize(
    ("label", "event"),
    [(label, e) for label, plan in PLANS.items() for e in saga_events(plan, CONTRACT)],
)
def test_an_event_has_its_declared_effect_in_each_situation(
    label: str, event: str, where: Situation
) -> None:
    plan = PLANS[label]
    before = saga(plan, where)
    now = late(before, event, plan)
    wanted = declared_effect(plan.roles[event], where)
    assert outcome(interpret(before, plan), interpret(now, plan), plan) == wanted


@pytest.mark.parametrize("label", PLANS)
@pytest.mark.parametrize("where", Situation)
def test_the_situations_are_what_they_are_called(label: str, where: Situation) -> None:
    view = interpret(saga(PLANS[label], where), PLANS[label])
    found = {
        Status.UNPLACED: Situation.UNPLACED,
        Status.UNDOING: Situation.UNDOING,
        Status.CANCELLED: Situation.CANCELLED,
        Status.COMPLETED: Situation.COMPLETED,
    }.get(view.status)
    if found is None:
        done = sum(step.status == "done" for step in view.steps)
        ready = sum(len(place) for place in PLANS[label].places[: PLANS[label].last_undoable])
        found = {0: Situation.PLACED, ready: Situation.READY, ready + 1: Situation.PAST}[done]
    assert found == where


def test_every_role_declares_an_effect_for_every_situation() -> None:
    assert set(DECLARED_EFFECTS) == set(Role)
    assert {len(row) for row in DECLARED_EFFECTS.values()} == {len(Situation)}


def test_the_page_is_up_to_date() -> None:
    made = page_text("schemas")
    assert (ROOT / PAGE).read_text() == made, "run saga_monitor.saga.event_matrix_page"


# --- what should never have been said -----------------------------------------------------------


def foreign(saga: Saga) -> Saga:
    """Somebody speaks who has no part in this version."""
    return fold(saga, Fact(STRANGE, "FraudChecked", after(60), "fraud", 1, flow="order/1"))


@pytest.mark.parametrize("where", Situation)
def test_an_event_of_a_participant_outside_the_version_opens_a_case_once_all_is_read(
    where: Situation,
) -> None:
    plan = PLANS["order/1"]
    odd = foreign(saga(plan, where))
    view = interpret(odd, plan)
    assert view.due is not None
    assert view.due <= after(60)
    early, cases = (
        [e for e in due_emissions(odd, view, after(through)) if e.event.code == UNEXPECTED]
        for through in (60, 60.001)
    )
    assert early == [], "what else was said by then is not known yet"
    (emission,) = cases
    assert "FraudChecked of fraud" in emission.event.reason
    assert str(emission.cause) == STRANGE


def test_the_case_is_opened_once_and_stays_open_though_the_order_ends() -> None:
    plan = PLANS["order/1"]
    cancelled = saga(plan, Situation.CANCELLED)
    odd = late(cancelled, "ShippedMailSent", plan)
    assert interpret(odd, plan).status == Status.CANCELLED
    (emission,) = due_emissions(odd, interpret(odd, plan), after(61))
    assert emission.event.code == UNEXPECTED
    opened = Fact(
        str(emission.id),
        "InterventionOpened",
        after(62),
        detail={"code": UNEXPECTED, "reason": "r"},
    )
    read_back = fold(odd, opened)
    view = interpret(read_back, plan)
    assert due_emissions(read_back, view, after(10**6)) == ()
    assert (view.due, view.open_interventions) == (None, (UNEXPECTED,))
    assert (view.status, view.started_at) == (Status.CANCELLED, START)


def test_past_the_pivot_even_the_pivots_own_undo_turns_nothing_back() -> None:
    plan = PLANS["order/1"]
    for event in ("ShipmentCancelled", "ShipmentFailed"):
        view = interpret(late(saga(plan, Situation.PAST), event, plan), plan)
        assert view.past_pivot
        assert not view.undoing
        assert {a.code for a in view.awaited} >= {UNDONE_PAST_PIVOT}
