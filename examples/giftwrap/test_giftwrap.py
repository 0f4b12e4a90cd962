"""Tests every cell of giftwrap's trigger table, and its path through the kit, all in memory."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import product
from typing import Any
from uuid import NAMESPACE_OID, uuid5

import pytest

from sagakit.decider import Callback, Command, Do, Effect, EffectResult, Observed, Trigger, Undo
from sagakit.flow.routing import Router
from sagakit.handling.handler import Disposition, Handler, HandlingResult
from sagakit.messages.codec import Codec
from sagakit.messages.envelope import Message, Trace, derive_id
from sagakit.store.memory import MemoryDatabase, MemoryStore
from sagakit.store.ports import Participant
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
from tests.gwt import NOW, given
from tests.order_facts import TWO_TEAS

FACTS = TWO_TEAS
CAPTURED = PaymentCaptured(
    order_id="o1", order=FACTS, charge_id="ch1", amount_minor=2500, currency="EUR"
)
FAILED = ShipmentFailed(order_id="o1", code="refused", reason="no such street")
WRAP_KEY, UNWRAP_KEY = "wrap:o1", "unwrap:o1"
WRAP = Effect("wrap", WRAP_KEY, {"order_id": "o1", "order": FACTS.to_dict()})
UNWRAP = Effect("unwrap", UNWRAP_KEY, {"order_id": "o1"})

WRAPPED = GiftWrapped(order_id="o1", order=FACTS, paper="red")
NO_PAPER = GiftWrapFailed(order_id="o1", reason="no paper")
STARTED = GiftUnwrapStarted(order_id="o1", reason=FAILED.reason)
TOO_LATE = GiftUnwrapStarted(order_id="o1", reason="it was wrapped too late")
UNWRAPPED = GiftUnwrapped(order_id="o1", reason=FAILED.reason)

PARTICIPANT = Participant("giftwrap", decide, evolve, MemoryStore(Gift()))

# --- the table: no blank cell ---------------------------------------------------------------------

SITUATIONS: dict[Phase, tuple[Any, ...]] = {
    Phase.NEW: (),
    Phase.WRAPPED: (WRAPPED,),
    Phase.FAILED: (NO_PAPER,),
    Phase.UNWRAPPING: (STARTED,),
    Phase.UNWRAPPED: (UNWRAPPED,),
}
TRIGGERS: dict[str, tuple[Trigger, tuple[str, ...]]] = {
    "do": (Do(CAPTURED), ()),
    "undo": (Undo(FAILED, FAILED.reason), ()),
    "undo, wrap in flight": (Undo(FAILED, FAILED.reason), (WRAP_KEY,)),
    "wrapped": (EffectResult(WRAP, Wrapped("red")), ()),
    "no paper": (EffectResult(WRAP, NoPaper("no paper")), ()),
    "unwrapped": (EffectResult(UNWRAP, Unwrapped()), ()),
    "callback": (Callback(Wrapped("red")), ()),
    "observed": (Observed("completed", CAPTURED), ()),
    "verdict": (Command("approve", "bob", "fine"), ()),
}


@dataclass(frozen=True)
class Answer:
    """The expected decision of a cell: own events and effects."""

    events: tuple[Any, ...] = ()
    effects: tuple[Effect, ...] = ()


def row(
    new: Answer = Answer(),
    wrapped: Answer = Answer(),
    failed: Answer = Answer(),
    unwrapping: Answer = Answer(),
    unwrapped: Answer = Answer(),
) -> dict[Phase, Answer]:
    """Return a row of the table; a phase left out answers nothing."""
    return dict(zip(Phase, (new, wrapped, failed, unwrapping, unwrapped), strict=True))


FENCE = Answer((UNWRAPPED,))
AGAIN = Answer(effects=(UNWRAP,))
TABLE: dict[str, dict[Phase, Answer]] = {
    "do": row(new=Answer(effects=(WRAP,))),
    "undo": row(FENCE, Answer((STARTED,), (UNWRAP,)), FENCE, AGAIN, FENCE),
    "undo, wrap in flight": row(
        Answer((STARTED,)), Answer((STARTED,), (UNWRAP,)), FENCE, Answer(), FENCE
    ),
    "wrapped": row(
        new=Answer((WRAPPED,)),
        failed=Answer((TOO_LATE,), (UNWRAP,)),
        unwrapping=AGAIN,
        unwrapped=Answer((TOO_LATE,), (UNWRAP,)),
    ),
    "no paper": row(new=Answer((NO_PAPER,)), unwrapping=FENCE),
    "unwrapped": row(unwrapping=FENCE),
    "callback": row(),
    "observed": row(),
    "verdict": row(),
}
CELLS = [(trigger, phase) for trigger in TABLE for phase in TABLE[trigger]]


def test_no_cell_of_the_table_is_blank() -> None:
    assert set(CELLS) == set(product(TRIGGERS, Phase))


@pytest.mark.parametrize(("trigger", "phase"), CELLS)
def test_every_cell(trigger: str, phase: Phase) -> None:
    told, in_flight = TRIGGERS[trigger]
    answer = TABLE[trigger][phase]
    start = given(PARTICIPANT, Gift(), *SITUATIONS[phase], in_flight=in_flight)
    assert start.state.phase is phase
    start.when(told).then(*answer.events, effects=answer.effects)


# --- through the kit ------------------------------------------------------------------------------


@dataclass
class Bench:
    """Runs giftwrap in memory: the production handler, a store and a wrapper."""

    wrapper: MemoryWrapper = field(default_factory=MemoryWrapper)
    database: MemoryDatabase[Gift] = field(
        default_factory=lambda: MemoryDatabase(MemoryStore(Gift()), NOW)
    )

    def __post_init__(self) -> None:
        participant = Participant("giftwrap", decide, evolve, self.database.store)
        router, codec = Router(FLOWS, "giftwrap"), Codec(CONTRACT)
        self.handler = Handler(participant, self.database, router, codec, lambda: NOW)

    def told(self, event: Any, source: str, seq: int) -> HandlingResult[Gift]:
        """Handle an event from the bus, on the flow version that has giftwrap."""
        cause = uuid5(NAMESPACE_OID, source)
        message_id = derive_id(cause, event.type, seq)
        return self.handle(Message(message_id, "o1", source, seq, Trace("order/5"), event=event))

    def handle(self, message: Message) -> HandlingResult[Gift]:
        """Handle one message and return the result."""
        (handled,) = self.handler.handle([message])
        return handled

    def perform(self) -> Sequence[Any]:
        """Perform the due effects; return the events that their outcomes cause."""
        events: list[Any] = []
        for due in self.database.claim(10, timedelta(seconds=15), NOW):
            call = {"wrap": self.wrapper.wrap, "unwrap": self.wrapper.unwrap}[due.effect.kind]
            outcome = EffectResult(due.effect, asyncio.run(call(due.effect)))
            message_id = uuid5(due.id, "outcome")
            message = Message(message_id, "o1", trace=due.trace, trigger=outcome, lease=due.lease)
            events += self.handle(message).events
        return events


def test_money_in_then_wrapped_then_undone_when_shipping_fails() -> None:
    bench = Bench()
    assert bench.told(CAPTURED, "payment", 1).events == ()
    assert bench.perform() == [WRAPPED]
    assert bench.told(FAILED, "shipping", 1).events == (STARTED,)
    assert bench.perform() == [UNWRAPPED]
    assert [row.topic for row in bench.database.tables.outbox.values()] == ["giftwrap.events"] * 3


def test_a_repeated_event_wraps_nothing_twice() -> None:
    bench = Bench()
    bench.told(CAPTURED, "payment", 1)
    bench.perform()
    assert bench.told(CAPTURED, "payment", 1).fate is Disposition.REPEAT
    assert bench.perform() == []
    assert bench.wrapper.sheets == 999


def test_an_undo_that_comes_first_leaves_a_fence() -> None:
    bench = Bench()
    assert bench.told(FAILED, "shipping", 1).events == (UNWRAPPED,)
    assert bench.told(CAPTURED, "payment", 1).events == ()
    assert bench.perform() == []


def test_an_undo_waits_for_the_call_in_flight() -> None:
    bench = Bench()
    bench.told(CAPTURED, "payment", 1)
    assert bench.told(FAILED, "shipping", 1).events == (STARTED,)
    assert bench.perform() == []  # the parcel is wrapped, which causes the unwrap call
    assert bench.perform() == [UNWRAPPED]


def test_no_paper_no_gift() -> None:
    bench = Bench(MemoryWrapper(sheets=0))
    bench.told(CAPTURED, "payment", 1)
    assert bench.perform() == [NO_PAPER]


def test_its_neighbours_are_told_without_a_change_of_theirs() -> None:
    assert Router(FLOWS, "shipping").route("order/5", WRAPPED).triggers == (Do(WRAPPED),)
    for event in (UNWRAPPED, NO_PAPER):
        told = Router(FLOWS, "payment").route("order/5", event).triggers
        assert told == (Undo(event, event.reason),)
