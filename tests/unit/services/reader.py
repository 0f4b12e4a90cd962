"""One participant of the order application that reads records, with its real decider, in memory."""

import copy
import itertools
from dataclasses import MISSING, fields, replace
from functools import cache
from typing import Any
from uuid import UUID

from sagakit.decider import Decision, Trigger
from sagakit.flow.platform_events import PLATFORM
from sagakit.flow.routing import Router, rules_of, topic
from sagakit.handling.handler import Handler, HandlingResult
from sagakit.handling.parking import decode_message
from sagakit.messages.codec import Codec
from sagakit.messages.envelope import Envelope, Message, Record, Trace
from sagakit.store.memory import MemoryDatabase
from sagakit.testing import NOW
from schemas import CONTRACT, EVENT_TYPES, FLOWS
from shop.simulation.participants import stores
from tests.order_facts import TWO_TEAS

(FLOW,) = FLOWS
CODEC = Codec(CONTRACT)
VALUES: dict[str, Any] = {
    "str": "x",
    "int": 1,
    "bool": False,
    "float": 0.0,
    "datetime": NOW,
    "OrderFacts": TWO_TEAS,
}


@cache
def router(name: str) -> Router:
    return Router(FLOWS, name)


def example(name: str, reader: str, facts: Any = TWO_TEAS) -> Any:
    """An event of a type, about the order o1."""
    type_ = EVENT_TYPES[name]
    given: dict[str, Any] = {type_.saga_id_field: "o1"}
    for field in fields(type_):
        kind = str(field.type).removesuffix(" | None")
        if kind == "OrderFacts":
            given[field.name] = facts
        elif field.name not in given and field.default is MISSING:
            given[field.name] = VALUES.get(kind, ())
    if name == "VerdictGiven":
        given |= {"step": reader, "verdict": "approve"}
    return type_(**given)


class Reader:
    """One participant that reads records, and its triggers."""

    def __init__(self, name: str, version: int) -> None:
        participant, store = next((p, s) for p, s in stores() if p.name == name)
        self.name, self.label, self.triggers = name, FLOW.label(version), list[Trigger]()
        self.decide = participant.decide
        self.database: MemoryDatabase[Any] = MemoryDatabase(copy.deepcopy(store), NOW)
        recording = replace(participant, decide=self._decide, store=self.database.store)
        self.handler = Handler(recording, self.database, router(name), CODEC, lambda: NOW)
        self.numbers = itertools.count(1)
        self.counts = dict[str, int]()

    def _decide(self, state: Any, trigger: Trigger, now: Any) -> Decision:
        self.triggers.append(trigger)
        return self.decide(state, trigger, now)

    def reads(self, event: Any, **changes: Any) -> HandlingResult[Any]:
        """Handle one record; `changes`: of its envelope, or `topic`."""
        n = next(self.numbers)
        counted = self.counts[event.owner] = self.counts.get(event.owner, 0) + 1
        place = changes.pop("topic", topic(event.owner))
        made = Envelope(
            UUID(int=n),
            "order/o1",
            event.owner,
            None if event.owner == PLATFORM else counted,
            NOW,
            event,
            trace=Trace(self.label),
        )
        row = CODEC.encode(replace(made, **changes))
        record = Record(place, 0, n, 0, b"o1", row.value, row.headers)
        (result,) = self.handler.handle([decode_message(CODEC, record)])
        return result

    def start(self) -> None:
        self.reads(example(FLOW.start, self.name))

    def prepare(self, version: int, event: str) -> None:
        """Read what the rules of an event need beside it, and forget what that caused."""
        for rule in rules_of(FLOW, version, self.name).get(event, ()):
            for any_of in rule.needs:
                if event not in any_of and any_of[0] != FLOW.start:
                    self.reads(example(any_of[0], self.name))
        self.triggers.clear()
        self.database.tables.outbox.clear()
        self.database.tables.effects.clear()

    def submit(self, trigger: Trigger, flow: str) -> HandlingResult[Any]:
        """Handle a trigger of a person."""
        message = Message(UUID(int=next(self.numbers)), "order/o1", trace=Trace(flow))
        (result,) = self.handler.handle([replace(message, trigger=trigger)])
        return result

    @property
    def moved(self) -> bool:
        """Whether it decided anything."""
        dead = all(row.topic.endswith(".dlt") for row in self.database.tables.outbox.values())
        return bool(self.triggers or not dead or self.database.tables.effects)

    @property
    def codes(self) -> list[str]:
        return [row.code for row in self.database.tables.parked.values()]
