"""Loyalty: what it answers in every situation, and what an order brings."""

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
from sagakit.testing import DecisionMatrix, emits, round_trip, row_of
from schemas import FLOWS
from schemas.events import (
    OrderLine,
    PointsGranted,
    ShipmentPickedUp,
    ShippedMailSent,
)
from services.loyalty.decide import Phase, Points, decide, evolve, points_of
from services.loyalty.store import store
from tests.order_facts import TWO_TEAS

LOYALTY = Participant("loyalty", decide, evolve, MemoryStore(Points()))
FACTS = replace(
    TWO_TEAS,
    total_minor=2598,
    lines=(OrderLine(sku="tea", quantity=2, unit_price_minor=1299),),
    loyalty_card="L-1",
)


def picked_up(**other: Any) -> ShipmentPickedUp:
    order = replace(FACTS, **other)
    return ShipmentPickedUp(order_id="o1", order=order, label_id="lb1", tracking="T1")


GRANTED = PointsGranted(order_id="o1", loyalty_card="L-1", points=25)
NOTHING = PointsGranted(order_id="o1", points=0)
MAILED = ShippedMailSent(order_id="o1", to="ada@customer.example")

# --- the matrix -----------------------------------------------------------------------------------

STATES: dict[str, tuple[Any, ...]] = {Phase.NEW: (), Phase.GRANTED: (GRANTED,)}
TRIGGERS: dict[str, Trigger] = {
    "do": Do(picked_up()),
    "do, no card": Do(picked_up(loyalty_card=None)),
    "do, no order": Do(picked_up(currency="ZZZ")),
    "undo": Undo(picked_up(), "never comes"),
    "observed": Observed("completed", picked_up()),
    "outcome": EffectResult(Effect("call", "call:o1", {}), None),
    "callback": Callback(None),
    "verdict": Command("approve", "bob", "fine"),
}


row = partial(row_of, STATES)
CELLS: dict[str, dict[str, Decision]] = {
    "do": row(new=emits(GRANTED)),
    "do, no card": row(new=emits(NOTHING)),
    "do, no order": row(new=emits(NOTHING)),
    "undo": row(),
    "observed": row(),
    "outcome": row(),
    "callback": row(),
    "verdict": row(),
}


MATRIX = DecisionMatrix(LOYALTY, Points(), STATES, TRIGGERS, CELLS, Phase)


def test_the_matrix_is_complete() -> None:
    MATRIX.check_complete()


@pytest.mark.parametrize(("trigger", "state"), MATRIX.pairs)
def test_each_cell_of_the_matrix(trigger: str, state: str) -> None:
    MATRIX.check(trigger, state)


@pytest.mark.parametrize("phase", Phase)
def test_the_state_survives_its_table(phase: Phase) -> None:
    state = MATRIX.given(phase).state
    assert round_trip(store(), state) == state


# --- the points -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("currency", "total_minor", "points"),
    [("EUR", 2598, 25), ("EUR", 99, 0), ("JPY", 2598, 2598), ("KWD", 2598, 2)],
)
def test_a_point_is_a_full_major_unit(currency: str, total_minor: int, points: int) -> None:
    line = OrderLine(sku="tea", quantity=1, unit_price_minor=total_minor)
    order = replace(FACTS, currency=currency, total_minor=total_minor, lines=(line,))
    assert points_of("o1", order) == points


def test_the_order_is_complete_with_mail_and_points() -> None:
    routes = Router(FLOWS, "order")
    assert routes.route("order/3", MAILED).triggers == (Observed("completed", MAILED),)
    waiting = routes.route("order/4", MAILED)
    assert waiting.triggers == ()
    assert routes.route("order/4", GRANTED, waiting.marks).triggers == (
        Observed("completed", GRANTED),
    )


@pytest.mark.parametrize("flow", ["order/1", "order/2", "order/3"])
def test_older_versions_trigger_nothing_in_loyalty(flow: str) -> None:
    assert Router(FLOWS, "loyalty").route(flow, picked_up()).triggers == ()
