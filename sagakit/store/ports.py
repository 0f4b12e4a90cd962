"""What the handler needs from a store. Two stores fill it, PostgreSQL and memory; one conformance
suite runs against both (tests/integration/test_kit_store.py)."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Generic, Protocol, TypeVar
from uuid import UUID

from sqlalchemy import Connection, MetaData

from sagakit.decider import Decide, Evolve, Trigger
from sagakit.messages.envelope import EffectRow, Lease, OutboxRow, ParkedRow

S = TypeVar("S")
PAUSED = "paused"
"""Mark of an account whose saga is paused, and code of the records parked meanwhile."""


class Working(Protocol[S]):
    """The states of one micro-batch, read under lock. `put` only after all went well."""

    def get(self, key: str) -> S:
        """The state of an order, as left by the messages of this batch handled before."""
        ...

    def put(self, key: str, state: S, events: tuple[Any, ...]) -> None:
        """The state after own `events`."""
        ...

    def save(self, connection: Connection) -> None:
        """Write what changed, set-based."""
        ...


class Store(Protocol[S]):
    """A participant's tables."""

    metadata: MetaData

    def load(self, connection: Connection, wanted: Mapping[str, Sequence[Trigger]]) -> Working[S]:
        """The states of the orders in `wanted` (key -> the triggers it is about to get).

        The kit has locked the orders before; shared rows (stock) are locked here, in sorted order.
        """
        ...


@dataclass(frozen=True)
class Participant(Generic[S]):
    """A participant's decisions and tables. `name` is its step, its topic's owner, its source."""

    name: str
    decide: Decide[S]
    evolve: Evolve[S]
    store: Store[S]


@dataclass(slots=True)
class Account:
    """The kit's row of one order in one participant: dedup, sequence, work in flight; its lock.

    seen: source -> [highest sequence handled, its event id]; ids: handled ids without a sequence;
    sent: own events so far; in_flight: keys of pending effects; marks: joining marks (`routing`);
    parked: records queued; gap: the source whose missing event the queue waits for.
    """

    key: str
    flow: str | None = None
    seen: dict[str, list[Any]] = field(default_factory=dict)
    ids: list[str] = field(default_factory=list)
    sent: int = 0
    in_flight: list[str] = field(default_factory=list)
    marks: list[str] = field(default_factory=list)
    parked: int = 0
    gap: str | None = None


@dataclass(slots=True)
class Changes:
    """All that one transaction writes besides the participant's own tables."""

    accounts: list[Account] = field(default_factory=list)
    outbox: list[OutboxRow] = field(default_factory=list)
    effects: list[EffectRow] = field(default_factory=list)
    park: list[ParkedRow] = field(default_factory=list)
    unpark: list[int] = field(default_factory=list)


class Transaction(Protocol[S]):
    """One database transaction of the handler; commits when its context ends without an error."""

    def lock(self, keys: Sequence[str]) -> dict[str, Account]:
        """The orders' accounts, locked in sorted order, made where they do not exist."""
        ...

    def finish(self, leases: Sequence[Lease]) -> set[UUID]:
        """Remove effects whose lease is still held; returns their ids, stale ones left out."""
        ...

    def load(self, wanted: Mapping[str, Sequence[Trigger]]) -> Working[S]:
        """The participant's states."""
        ...

    def parked(self, key: str, limit: int) -> list[ParkedRow]:
        """The queue of one order, oldest first."""
        ...

    def write(self, changes: Changes, working: Working[S]) -> None:
        """Everything at once."""
        ...


class Database(Protocol[S]):
    """A participant's database."""

    def transaction(self) -> AbstractContextManager[Transaction[S]]:
        """Commit at the end, roll back on an error."""
        ...


class EffectQueue(Protocol):
    """The pending effects, leased to workers."""

    def claim(self, limit: int, lease_for: timedelta, now: datetime) -> list[EffectRow]:
        """Due effects nobody holds, now held by the caller."""
        ...

    def extend(self, leases: Sequence[Lease], until: datetime) -> None:
        """Heartbeat: hold on to effects that take long."""
        ...

    def retry(self, lease: Lease, error: str, due_at: datetime) -> None:
        """Give an effect back, to be tried again at `due_at`; attempts + 1."""
        ...


Clock = Callable[[], datetime]
"""The time, aware UTC; injected everywhere."""
