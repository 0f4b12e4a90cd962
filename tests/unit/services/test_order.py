"""Order decides on every trigger in every state as its matrix says."""

import hashlib
import json
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
from sagakit.testing import NOW, DecisionMatrix, emits, given, round_trip, row_of
from schemas.events import (
    InventoryReleased,
    OrderCancelled,
    OrderCancelRequested,
    OrderCompleted,
    OrderFacts,
    OrderLine,
    OrderPlaced,
    OrderRejected,
    ShippedMailSent,
)
from services.order.decide import CancelOrder, Order, Phase, PlaceOrder, decide, digest, evolve
from services.order.store import store
from tests.order_facts import TWO_TEAS

ORDER = Participant("order", decide, evolve, MemoryStore(Order()))
FACTS = TWO_TEAS
OTHER = replace(FACTS, ship_to="2 Main Street")
SHIPPED = ShippedMailSent(order_id="o1", to="ada@customer.example")
RELEASED = InventoryReleased(order_id="o1", lines=(), reason="out of tea")


def placed(facts: OrderFacts = FACTS) -> OrderPlaced:
    return OrderPlaced(order_id="o1", order=facts, placed_at=NOW)


def place(facts: OrderFacts = FACTS) -> Command:
    return Command("place", "api", "placed", PlaceOrder("o1", facts, NOW))


CANCEL = Command("cancel", "ada", "too late for tea", CancelOrder("o1"))
REQUESTED = OrderCancelRequested(order_id="o1", actor="ada", reason="too late for tea")
COMPLETED = OrderCompleted(order_id="o1")
CANCELLED = OrderCancelled(order_id="o1", reason="out of tea")
CONFLICT = OrderRejected(
    order_id="o1",
    code="conflict",
    reason="order o1 exists with other content; place this one under another id",
)

# --- the matrix -----------------------------------------------------------------------------------

STATES: dict[str, tuple[Any, ...]] = {
    "unknown": (),
    "placed": (placed(),),
    "placed, cancel asked": (placed(), REQUESTED),
    "completed": (placed(), COMPLETED),
    "completed, never placed": (COMPLETED,),
    "cancelled": (placed(), CANCELLED),
    "cancelled, never placed": (CANCELLED,),
}
TRIGGERS: dict[str, Trigger] = {
    "place": place(),
    "place other content": place(OTHER),
    "cancel": CANCEL,
    "placed by the shop": Observed("OrderPlaced", placed()),
    "placed by the shop with other content": Observed("OrderPlaced", placed(OTHER)),
    "completed": Observed("completed", SHIPPED),
    "undone": Observed("undone", RELEASED),
    "observed something else": Observed("else", SHIPPED),
    "verdict of another kind": Command("approve", "bob", "fine"),
    "place without an order": Command("place", "bob", "fine"),
    "cancel without an order": Command("cancel", "bob", "fine"),
    "do": Do(placed()),
    "undo": Undo(REQUESTED, "why"),
    "outcome": EffectResult(Effect("x", "x:o1", {}), None),
    "callback": Callback(None),
}


row = partial(row_of, STATES)
CONFLICTS = {name: emits(CONFLICT) for name in ("placed", "placed_cancel_asked", "completed")}
CONFLICTS["cancelled"] = emits(CONFLICT)
CELLS: dict[str, dict[str, Decision]] = {
    # of an order that ended before it was known here, nobody can tell whether this is it
    "place": row(
        unknown=emits(placed()),
        completed_never_placed=emits(CONFLICT),
        cancelled_never_placed=emits(CONFLICT),
    ),
    "place other content": row(
        unknown=emits(placed(OTHER)),
        completed_never_placed=emits(CONFLICT),
        cancelled_never_placed=emits(CONFLICT),
        **CONFLICTS,
    ),
    "cancel": row(placed=emits(REQUESTED), placed_cancel_asked=emits(REQUESTED)),
    "placed by the shop": row(
        unknown=Decision(adopted=(placed(),)),
        completed_never_placed=Decision(adopted=(placed(),)),
        cancelled_never_placed=Decision(adopted=(placed(),)),
    ),
    "placed by the shop with other content": row(
        unknown=Decision(adopted=(placed(OTHER),)),
        completed_never_placed=Decision(adopted=(placed(OTHER),)),
        cancelled_never_placed=Decision(adopted=(placed(OTHER),)),
        **CONFLICTS,
    ),
    "completed": row(
        unknown=emits(COMPLETED), placed=emits(COMPLETED), placed_cancel_asked=emits(COMPLETED)
    ),
    "undone": row(
        unknown=emits(CANCELLED), placed=emits(CANCELLED), placed_cancel_asked=emits(CANCELLED)
    ),
    **{
        name: row()
        for name in (
            "observed something else",
            "verdict of another kind",
            "place without an order",
            "cancel without an order",
            "do",
            "undo",
            "outcome",
            "callback",
        )
    },
}


MATRIX = DecisionMatrix(ORDER, Order(), STATES, TRIGGERS, CELLS, Phase)


def test_the_matrix_is_complete() -> None:
    MATRIX.check_complete()


@pytest.mark.parametrize(("trigger", "state"), MATRIX.pairs)
def test_each_cell_of_the_matrix(trigger: str, state: str) -> None:
    MATRIX.check(trigger, state)


@pytest.mark.parametrize("name", STATES)
def test_the_state_survives_its_table(name: str) -> None:
    state = MATRIX.given(name).state
    found = round_trip(store(), state)  # a time comes back as text where no driver reads it
    assert replace(found, placed_at=state.placed_at) == replace(state, in_flight=frozenset())


# --- stories --------------------------------------------------------------------------------------


def test_an_order_of_the_shop_is_adopted_and_its_echo_is_nothing_new() -> None:
    adopted = given(ORDER, Order()).when(Observed("OrderPlaced", placed())).then(adopted=[placed()])
    assert adopted.state.phase is Phase.PLACED
    again = adopted.when(Observed("OrderPlaced", placed())).then_nothing()
    again.when(place()).then_nothing().when(place(OTHER)).then(CONFLICT)


def test_the_end_may_be_known_before_the_beginning() -> None:
    ended = given(ORDER, Order()).when(Observed("undone", RELEASED)).then(CANCELLED)
    adopted = ended.when(Observed("OrderPlaced", placed())).then(adopted=[placed()])
    assert (adopted.state.phase, adopted.state.digest) == (Phase.CANCELLED, digest(FACTS))
    adopted.when(Observed("undone", RELEASED)).then_nothing()


def test_the_digest_is_that_of_the_content() -> None:
    assert digest(FACTS) == digest(OrderFacts.from_dict(FACTS.to_dict()))
    lines = (OrderLine(sku="tea", quantity=1, unit_price_minor=2500),)
    others = [OTHER, replace(FACTS, lines=lines), replace(FACTS, fraud_score=0.5)]
    assert len({digest(FACTS), *map(digest, others)}) == 4


def test_an_order_is_the_same_though_facts_were_added_that_it_does_not_give() -> None:
    before = json.dumps(
        {name: value for name, value in FACTS.to_dict().items() if name != "loyalty_card"},
        sort_keys=True,
        separators=(",", ":"),
    )
    assert digest(FACTS) == hashlib.sha256(before.encode()).hexdigest()
    assert digest(replace(FACTS, loyalty_card="L-1")) != digest(FACTS)
