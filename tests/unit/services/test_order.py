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
    Json,
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
from services.order.decide import (
    CancelOrder,
    Compared,
    Order,
    Phase,
    PlaceOrder,
    decide,
    digest,
    evolve,
)
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


def compare(code: str = "conflict") -> Effect:
    payload: dict[str, Json] = {
        "order_id": "o1",
        "code": code,
        "digest": digest(FACTS),
        "order": SEALED.to_dict(),
    }
    return Effect("compare", f"compare:{digest(SEALED)[:32]}", payload)


def compared(same: bool, code: str = "conflict") -> EffectResult:
    return EffectResult(compare(code), Compared(same))


CANCEL = Command("cancel", "ada", "too late for tea", CancelOrder("o1"))
REQUESTED = OrderCancelRequested(order_id="o1", actor="ada", reason="too late for tea")
COMPLETED = OrderCompleted(order_id="o1")
CANCELLED = OrderCancelled(order_id="o1", reason="out of tea")
CONFLICT = OrderRejected(
    order_id="o1",
    code="conflict",
    reason="order o1 exists with other content; place this one under another id",
)
TAKEN = OrderRejected(
    order_id="o1",
    code="taken",
    reason="another order o1 is in the log before the one that was placed over HTTP, which is not "
    "carried out; place it under another id",
)
HIDDEN = f"sealed:1:{'0' * 32}:{'A' * 22}"
SEALED = replace(FACTS, email=HIDDEN, ship_to=HIDDEN)

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
    "placed by the shop, sealed": Observed("OrderPlaced", placed(SEALED)),
    "placed again": Observed("refused", placed()),
    "placed again with other content": Observed("refused", placed(OTHER)),
    "placed again, sealed": Observed("refused", placed(SEALED)),
    "the same, sealed": compared(True),
    "another, sealed": compared(False),
    "another, and the API had taken this one": compared(False, "taken"),
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
KNOWN = ("placed", "placed_cancel_asked", "completed", "cancelled")
UNKNOWN = ("unknown", "completed_never_placed", "cancelled_never_placed")
CONFLICTS = {name: emits(CONFLICT) for name in KNOWN}
ASKS = Decision(effects=(compare(),))
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
        **{name: Decision(adopted=(placed(OTHER),)) for name in UNKNOWN},
        **{name: Decision((TAKEN,), adopted=(placed(OTHER),)) for name in KNOWN},
    ),
    "placed by the shop, sealed": row(
        **{name: Decision(adopted=(placed(SEALED),)) for name in UNKNOWN},
        **{name: Decision((), (compare("taken"),), (placed(SEALED),)) for name in KNOWN},
    ),
    "placed again": row(**{name: emits(CONFLICT) for name in UNKNOWN}),
    "placed again with other content": row(
        **{name: emits(CONFLICT) for name in (*KNOWN, *UNKNOWN)}
    ),
    "placed again, sealed": row(
        **dict.fromkeys(KNOWN, ASKS), **{name: emits(CONFLICT) for name in UNKNOWN}
    ),
    "the same, sealed": row(),
    "another, sealed": row(**{name: emits(CONFLICT) for name in (*KNOWN, *UNKNOWN)}),
    "another, and the API had taken this one": row(
        **{name: emits(TAKEN) for name in (*KNOWN, *UNKNOWN)}
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


def test_the_log_decides_what_an_order_is() -> None:
    """Given an order that the API took; when the log has another one of its id first; then that
    one is the order, its customer is told, and the own one is refused when it is read."""
    api = given(ORDER, Order()).when(place()).then(placed())
    api.when(Observed("OrderPlaced", placed())).then_nothing()
    taken = api.when(Observed("OrderPlaced", placed(OTHER))).then(TAKEN, adopted=[placed(OTHER)])
    assert (taken.state.digest, taken.state.taken) == (digest(OTHER), True)
    taken.when(Observed("refused", placed())).then(CONFLICT)
    taken.when(place()).then(CONFLICT)


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
