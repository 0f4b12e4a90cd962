"""Whatever the order, repetition or grouping in which an order's events are read: one saga."""

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from saga_monitor.saga.deadlines import due_emissions
from saga_monitor.saga.facts import Fact, Saga, fold
from saga_monitor.saga.time_travel import Basis, saga_at
from saga_monitor.saga.view import ENDED, Status
from saga_monitor.storage.stored_saga import dump_facts, load_saga
from sagakit.contract.platform import CompensationRequested
from schemas import OWNERS
from tests.histories import SAGA, after, facts, money_of, seen

TYPES = sorted(t for t, owner in OWNERS.items() if t != "StockReceived" and owner)
AMOUNTS = st.sampled_from([0, 1, 250, 500, 2**62])
DETAILS = st.fixed_dictionaries(
    {},
    optional={
        "amount_minor": AMOUNTS,
        "charge_id": st.sampled_from(["ch-1", "ch-2"]),
        "refund_id": st.sampled_from(["re-1", "re-2"]),
        "step": st.sampled_from(["payment", "shipping"]),
        "verdict": st.sampled_from(["approve", "maybe"]),
        "code": st.sampled_from(["deadline", "operator", "undo_stalled"]),
        "attempt": st.integers(1, 9),
    },
)


@st.composite
def orders(draw: st.DrawFn) -> list[Fact]:
    """The events of an order, sane or not, in either step order."""
    words: list[Any] = []
    for word in draw(st.lists(st.sampled_from(TYPES), min_size=1, max_size=14)):
        words += [word, draw(DETAILS), draw(st.sampled_from([0, 0.5, 61, 4000]))]
    if draw(st.booleans()):
        words = ["OrderPlaced", *words]
    return facts(*words, flow=draw(st.sampled_from(["order/1", "order/2"])))


@st.composite
def readings(draw: st.DrawFn) -> tuple[list[Fact], list[list[Fact]]]:
    """An order, and its events in another order, some repeated (also later), in batches."""
    facts = draw(orders())
    again = draw(st.lists(st.sampled_from(facts), max_size=6))
    later = [replace(f, at=f.at + timedelta(seconds=n + 1)) for n, f in enumerate(again)]
    shuffled = draw(st.permutations([*facts, *again, *later]))
    cuts = sorted(draw(st.lists(st.integers(0, len(shuffled)), max_size=4)))
    edges = [0, *cuts, len(shuffled)]
    return facts, [shuffled[a:b] for a, b in pairwise(edges)]


@given(readings())
def test_any_order_repetition_and_grouping_folds_to_the_same_saga(
    reading: tuple[list[Fact], list[list[Fact]]],
) -> None:
    facts, batches = reading
    straight = fold(Saga(SAGA), *facts)
    saga = Saga(SAGA)
    for batch in batches:
        saga = fold(saga, *batch)
    assert saga == straight
    assert seen(saga) == seen(straight)
    assert due_emissions(saga, seen(saga), after(10**6)) == due_emissions(
        straight, seen(straight), after(10**6)
    )


@given(orders())
def test_what_the_database_keeps_is_the_saga(facts: list[Fact]) -> None:
    saga = fold(Saga(SAGA), *facts)
    assert load_saga(SAGA, orjson.dumps(dump_facts(saga.facts.values())).decode()) == saga


@given(orders())
def test_as_of_now_a_saga_is_that_of_today_and_as_of_an_event_the_fold_up_to_it(
    facts: list[Fact],
) -> None:
    saga, now = fold(Saga(SAGA), *facts), after(10**6)
    read_at = {fact.id: fact.at for fact in facts}
    for basis in Basis:
        for moment in (now, *(fact.at for fact in facts)):
            then, _ = saga_at(saga, moment, basis, read_at, now=now, read_through=now)
            up_to = fold(Saga(SAGA), *(fact for fact in facts if fact.at <= moment))
            assert then == up_to
            assert seen(then) == seen(up_to)
            assert moment != now or then == saga


@given(orders())
def test_the_view_never_contradicts_itself(facts: list[Fact]) -> None:
    saga = fold(Saga(SAGA), *facts)
    view = seen(saga)
    status = {s.name: s.status for s in view.steps}
    if view.status == Status.CANCELLED:
        assert money_of(view).held == 0
        undoable = {status[step] for step in ("inventory", "payment", "shipping")}
        assert undoable <= {"idle", "failed", "undone"}
    if view.status == Status.COMPLETED:
        assert set(status.values()) == {"done"}
    if view.status in ENDED:
        assert view.next is None
        assert view.ended_at is not None
    elif view.status != Status.UNPLACED:
        assert view.awaited


@given(orders())
def test_past_the_pivot_nothing_is_ever_undone(facts: list[Fact]) -> None:
    saga = fold(Saga(SAGA), *facts)
    view = seen(saga)
    emitted = due_emissions(saga, view, after(10**9))
    if any(s.name == "shipping" and s.status == "done" for s in view.steps):
        assert not any(isinstance(e.event, CompensationRequested) for e in emitted)
