"""Runs one participant in memory: the production handler and routing, without Kafka or a database.

It shows what decisions alone do not: routing, inbox, effects and their results, redelivery.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar
from uuid import NAMESPACE_OID, uuid5

from sagakit.contract.model import Contract
from sagakit.decider import Callback, EffectResult, Trigger
from sagakit.effects.worker import Perform
from sagakit.faults import NO_FAULTS, Faults
from sagakit.flow.model import Flows
from sagakit.flow.routing import Router
from sagakit.handling.handler import Handler, HandlingResult
from sagakit.identity import flow_name, saga_key
from sagakit.messages.codec import Codec
from sagakit.messages.envelope import Message, OutboxRow, Trace, derive_id
from sagakit.store.memory import MemoryDatabase, MemoryStore
from sagakit.store.ports import InboxRow, Participant
from sagakit.testing.scenario import NOW

S = TypeVar("S")
MOST_CLAIMED = 100


class InMemoryService(Generic[S]):
    """Handles messages of one saga for one participant, and performs its effects when asked.

    store: the participant's, in memory. perform: kind of effect -> the gateway's method. flow: the
    version on which events come, such as `errand/3`. faults: see `sagakit.faults`.
    """

    def __init__(
        self,
        participant: Participant[S],
        store: MemoryStore[S],
        contract: Contract,
        flows: Flows,
        perform: Mapping[str, Perform],
        *,
        flow: str,
        saga_id: str = "o1",
        faults: Faults = NO_FAULTS,
        now: datetime = NOW,
    ) -> None:
        flows.check_participant(participant.name)
        self.saga_id = saga_id
        self.saga = saga_key(flow_name(flow), saga_id)
        self.now = now
        self._store = store
        self._perform = perform
        self._flow = flow
        self._faults = faults
        self._calls = 0
        self._start = flows.find(flow)[0].start
        self._database = MemoryDatabase(store, now)
        self._handler = Handler(
            participant,
            self._database,
            Router(flows, participant.name),
            Codec(contract),
            lambda: self.now,
            faults=faults,
        )

    @property
    def state(self) -> S:
        """The saga's state; the keys of pending effects are in `pending`."""
        return self._store.states.get(self.saga, self._store.initial)

    @property
    def pending(self) -> list[str]:
        """Keys of the effects that are not performed yet."""
        return sorted(key for _, key in self._database.tables.effects)

    @property
    def published(self) -> list[OutboxRow]:
        """The outbox: encoded events in the order in which they would be published."""
        return [row for _, row in sorted(self._database.tables.outbox.items())]

    def receive(self, event: Any, source: str, sequence: int) -> HandlingResult[S]:
        """Handle an event from the bus; before any but the start event, that one was read.

        source: the participant that published it. sequence: its number among the events of that
        participant in this saga, from 1 on; a repeated number is a redelivery.
        """
        message_id = derive_id(uuid5(NAMESPACE_OID, source), event.type, sequence)
        rows = self._database.tables.inbox_rows
        if self.saga not in rows and event.type != self._start:
            rows[self.saga] = InboxRow(self.saga, facts="")
        trace = Trace(self._flow)
        return self._handle(Message(message_id, self.saga, source, sequence, trace, event=event))

    def call_back(self, result: Any) -> HandlingResult[S]:
        """Handle a provider's webhook."""
        return self.submit(Callback(result))

    def submit(self, trigger: Trigger) -> HandlingResult[S]:
        """Handle a trigger that did not come from the bus, such as a person's `Command`."""
        self._calls += 1
        message_id = uuid5(NAMESPACE_OID, f"call:{self._calls}")
        trace = Trace(self._flow)
        return self._handle(Message(message_id, self.saga, trace=trace, trigger=trigger))

    def perform(self) -> Sequence[Any]:
        """Perform the pending effects once; return the own events that their results cause."""
        events: list[Any] = []
        # A lease of no length: what a crash leaves behind is claimed again at once.
        for due in self._database.claim(MOST_CLAIMED, timedelta(0), self.now):
            result = asyncio.run(self._call(due.effect.kind, due.effect))
            self._faults("after-call")
            outcome = EffectResult(due.effect, result)
            message_id = uuid5(due.id, "outcome")
            message = Message(
                message_id, self.saga, trace=due.trace, trigger=outcome, lease=due.lease
            )
            events += self._handle(message).events
        return events

    async def _call(self, kind: str, effect: Any) -> Any:
        return await self._perform[kind](effect)

    def _handle(self, message: Message) -> HandlingResult[S]:
        (handled,) = self._handler.handle([message])
        return handled
