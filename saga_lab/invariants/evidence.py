"""Defines the evidence of the invariants: the log, the outside ledgers, the services' tables.

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

from sagakit.flow.model import Flow, Flows, Step
from schemas.events import OrderFacts

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Logged:
    """Holds an event with its position in the log.

    `at`: LogAppendTime; `cause`: id of the event that caused it.
    """

    order_id: str
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
class StockRow:
    """Holds the units of one SKU in inventory's own table."""

    sku: str
    on_hand: int
    reserved: int
    shipped: int
    put_in: int


@dataclass(frozen=True, slots=True)
class Sent:
    """Identifies a row of `outbox_sent`; `mark` is computed by `mark_of`."""

    service: str
    order_id: str
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
    charges, refunds, labels, mails: as the outside world's ledgers show them; stock: per SKU;
    held: SKU -> units that inventory's reservations hold; outbox, effects: rows left by service;
    sent: records that the services' `outbox_sent` lists as published; sagas: order -> the monitor's
    status.
    """

    flows: Flows
    log: Sequence[Logged] = ()
    unreadable: int = 0
    marks: frozenset[bytes] = frozenset()
    charges: Sequence[Row] = ()
    refunds: Sequence[Row] = ()
    labels: Sequence[Row] = ()
    mails: Sequence[Row] = ()
    stock: Sequence[StockRow] = ()
    held: Mapping[str, int] = field(default_factory=dict)
    outbox: Mapping[str, int] = field(default_factory=dict)
    effects: Mapping[str, int] = field(default_factory=dict)
    sent: Sequence[Sent] = ()
    sagas: Mapping[str, str] = field(default_factory=dict)
    deadlines: Sequence[tuple[datetime, Flows]] = ()

    @cached_property
    def events_by_saga(self) -> Mapping[str, Mapping[str, tuple[Logged, ...]]]:
        """Map order -> event type -> the events of that type, each event once."""
        found: dict[str, dict[str, dict[UUID, Logged]]] = defaultdict(lambda: defaultdict(dict))
        for logged in self.log:
            found[logged.order_id][logged.type].setdefault(logged.id, logged)
        return {
            order_id: {name: tuple(events.values()) for name, events in by_type.items()}
            for order_id, by_type in found.items()
        }

    @cached_property
    def by_id(self) -> Mapping[UUID, Logged]:
        """Map event id -> the first record of that event."""
        found: dict[UUID, Logged] = {}
        for logged in self.log:
            found.setdefault(logged.id, logged)
        return found

    @cached_property
    def accepted(self) -> Mapping[str, OrderFacts]:
        """Map order -> its facts, for orders whose start event names a known flow or none.

        The first content under an id counts, because every participant reads the partition in that
        order.
        """
        known = {flow.label(version) for flow in self.flows for version in flow.versions}
        starts = {flow.start for flow in self.flows}
        return {
            order_id: first.event.order
            for order_id in self.events_by_saga
            for first in self.events(order_id, *starts)[:1]
            if first.flow is None or first.flow in known
        }

    def events(self, order_id: str, *types: str) -> tuple[Logged, ...]:
        """Return the events of an order of these types, each once."""
        by_type = self.events_by_saga.get(order_id, {})
        return tuple(logged for name in types for logged in by_type.get(name, ()))

    def end_of(self, order_id: str) -> str:
        """Return `completed`, `cancelled`, `intervention` (open), `both` or `neither`."""
        completed = self.events(order_id, "OrderCompleted")
        cancelled = self.events(order_id, "OrderCancelled")
        if len(completed) + len(cancelled) > 1:
            return "both"
        if completed or cancelled:
            return "completed" if completed else "cancelled"
        opened = {e.event.code for e in self.events(order_id, "InterventionOpened")}
        closed = {e.event.code for e in self.events(order_id, "InterventionResolved")}
        return "intervention" if opened - closed else "neither"

    def flow_of(self, order_id: str) -> tuple[Flow, int]:
        """Return the flow and version that an order runs on."""
        labels = (
            e.flow for events in self.events_by_saga[order_id].values() for e in events if e.flow
        )
        return self.flows.find(next(labels, None), *self.events_by_saga[order_id])

    def steps_at(self, order_id: str, at: datetime) -> Mapping[str, Step]:
        """Return the steps of an order's flow with the deadlines in force at the time `at`."""
        flow, _ = self.flow_of(order_id)
        for since, flows in self.deadlines:
            if since <= at:
                flow, _ = flows.find(flow.label(flow.default_version))
        return flow.steps
