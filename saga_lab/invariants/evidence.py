"""Defines the evidence of the invariants: the log, and the tables of participants and monitor.

These are plain values without I/O (`gather` fetches them), so that a test can plant a violation.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import UUID

from saga_monitor.saga.flow_plan import Plan
from sagakit.flow.model import COMPLETED, Flow, Flows, Step

CANCELLED, INTERVENTION, BOTH, NEITHER = "cancelled", "intervention", "both", "neither"
"""Ends of a saga, beside `completed`; `neither` is no end yet."""


@dataclass(frozen=True, slots=True)
class Logged:
    """Holds an event with its position in the log.

    `at`: LogAppendTime; `cause`: id of the event that caused it.
    """

    saga: str
    event: Any
    id: UUID
    source: str
    seq: int | None
    topic: str
    partition: int
    offset: int
    at: datetime
    cause: UUID | None = None
    flow: str | None = None

    @property
    def type(self) -> str:
        """Return the event's type."""
        return str(self.event.type)


@dataclass(frozen=True, slots=True)
class Sent:
    """Identifies a row of `outbox_sent`; `mark` is computed by `mark_of`."""

    service: str
    saga: str
    topic: str
    mark: bytes


def mark_of(
    topic: str, key: bytes, headers: Iterable[tuple[str, bytes]], value: bytes | None
) -> bytes:
    """Return a digest that identifies a published record: topic, key, headers and body."""
    digest = hashlib.blake2b(digest_size=16)
    for part in (topic.encode(), key, *(x for k, v in headers for x in (k.encode(), v))):
        digest.update(len(part).to_bytes(4, "big") + part)
    digest.update(value or b"")
    return digest.digest()


@dataclass(frozen=True)
class Evidence:
    """Holds everything that the invariants are checked against.

    flows: as in the flow files; deadlines: (since, flows with the monitor's deadlines from then
    on), the earliest first; log: readable events, each partition in offset order; unreadable:
    number of records that are no event of the contract; marks: of every record in the log;
    outbox, effects: rows left by service; sent: records that the services' `outbox_sent` lists as
    published; sagas: saga -> the monitor's status. own: evidence that the application gathers for
    its own checks; ends: event type -> the end it reports, see `OwnInvariants`.
    """

    flows: Flows
    log: Sequence[Logged] = ()
    unreadable: int = 0
    marks: frozenset[bytes] = frozenset()
    outbox: Mapping[str, int] = field(default_factory=dict)
    effects: Mapping[str, int] = field(default_factory=dict)
    sent: Sequence[Sent] = ()
    sagas: Mapping[str, str] = field(default_factory=dict)
    deadlines: Sequence[tuple[datetime, Flows]] = ()
    own: Any = None
    ends: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def events_by_saga(self) -> Mapping[str, Mapping[str, tuple[Logged, ...]]]:
        """Map saga -> event type -> the events of that type, each event once."""
        found: dict[str, dict[str, dict[UUID, Logged]]] = defaultdict(lambda: defaultdict(dict))
        for logged in self.log:
            found[logged.saga][logged.type].setdefault(logged.id, logged)
        return {
            saga: {name: tuple(events.values()) for name, events in by_type.items()}
            for saga, by_type in found.items()
        }

    @cached_property
    def by_id(self) -> Mapping[UUID, Logged]:
        """Map event id -> the first record of that event."""
        found: dict[UUID, Logged] = {}
        for logged in self.log:
            found.setdefault(logged.id, logged)
        return found

    @cached_property
    def accepted(self) -> Mapping[str, Logged]:
        """Map saga -> its first start event, where that names a known flow or none.

        The first content under an id counts, because every participant reads the partition in that
        order.
        """
        known = {flow.label(version) for flow in self.flows for version in flow.versions}
        starts = {flow.start for flow in self.flows}
        return {
            saga: first
            for saga in self.events_by_saga
            for first in self.events(saga, *starts)[:1]
            if first.flow is None or first.flow in known
        }

    @cached_property
    def _plans(self) -> Mapping[str, Plan]:
        """Map the label of a flow version -> its plan."""
        return {flow.label(v): Plan.of(flow, v) for flow in self.flows for v in flow.versions}

    def plan_of(self, saga: str) -> Plan:
        """Return the plan of the flow version that a saga runs on."""
        flow, version = self.flow_of(saga)
        return self._plans[flow.label(version)]

    def is_past_pivot(self, saga: str) -> bool:
        """Return whether the log says that the saga only goes forward."""
        pivots = self.plan_of(saga).pivots
        return bool(pivots) and all(self.events(saga, pivot.done) for pivot in pivots)

    def events(self, saga: str, *types: str) -> tuple[Logged, ...]:
        """Return the events of a saga of these types, each once."""
        by_type = self.events_by_saga.get(saga, {})
        return tuple(logged for name in types for logged in by_type.get(name, ()))

    def end_of(self, saga: str) -> str:
        """Return `completed`, `cancelled`, `intervention` (open), `both` or `neither`."""
        ended = self._reported_ends(saga) if self.ends else self._derived_ends(saga)
        if ended:
            return ended[0] if len(ended) == 1 else BOTH
        opened = {e.event.code for e in self.events(saga, "InterventionOpened")}
        closed = {e.event.code for e in self.events(saga, "InterventionResolved")}
        return INTERVENTION if opened - closed else NEITHER

    def _reported_ends(self, saga: str) -> list[str]:
        return [self.ends[e.type] for e in self.events(saga, *self.ends)]

    def _derived_ends(self, saga: str) -> list[str]:
        """Return the end that the events of the steps add up to, as a list of none or one."""
        flow, version = self.flow_of(saga)
        done = (step.done for place in flow.places(version) for step in place)
        if all(self.events(saga, event) for event in done):
            return [COMPLETED]
        ends = flow.ends(version)
        return [CANCELLED] if all(self.events(saga, *events) for events in ends) else []

    def flow_of(self, saga: str) -> tuple[Flow, int]:
        """Return the flow and version that a saga runs on."""
        labels = (e.flow for events in self.events_by_saga[saga].values() for e in events if e.flow)
        return self.flows.find(next(labels, None), *self.events_by_saga[saga])

    def steps_at(self, saga: str, at: datetime) -> Mapping[str, Step]:
        """Return the steps of a saga's flow with the deadlines in force at the time `at`."""
        flow, _ = self.flow_of(saga)
        for since, flows in self.deadlines:
            if since <= at:
                flow, _ = flows.find(flow.label(flow.default_version))
        return flow.steps
