"""Declares the ports between the handler and a store.

PostgreSQL and memory implement them; one conformance suite runs against both
(tests/integration/test_store_conformance.py).
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Generic, Protocol, TypeVar
from uuid import UUID

from psycopg import Connection
from sqlalchemy import MetaData

from sagakit.decider import Decide, Evolve, Trigger
from sagakit.errors import SagaConflict
from sagakit.messages.envelope import EffectRow, Lease, OutboxRow, ParkedRow

S = TypeVar("S")
DIED = "ProcessDied: the process that made the call ended, or lost its lease, before the answer"
"""The last error of an effect whose lease ran out."""
SUSPECT_AFTER = 2
"""After so many deaths in a row an effect is suspected of killing its process."""
PAUSED = "paused"
"""Mark of a paused saga's inbox row, and code of the records parked while it is paused."""
CONFLICT = SagaConflict.code
ASIDE = frozenset({PAUSED, CONFLICT})
"""Codes of parked records behind which no other record of their saga queues."""
START = "the start event"
"""`InboxRow.gap` of a queue that waits for no missing event of a source, but for this."""


class Working(Protocol[S]):
    """Holds the states of one micro-batch, read under lock.

    Call `put` only after a message was decided without an error.
    """

    def get(self, key: str) -> S:
        """Return the state of a saga after the messages of this batch handled so far."""
        ...

    def put(self, key: str, state: S, events: tuple[Any, ...]) -> None:
        """Set the state after own `events`."""
        ...

    def save(self, connection: Connection[Any]) -> None:
        """Write the changed states in set-based statements."""
        ...


class Store(Protocol[S]):
    """Reads and writes a participant's own tables."""

    metadata: MetaData

    def load(
        self, connection: Connection[Any], wanted: Mapping[str, Sequence[Trigger]]
    ) -> Working[S]:
        """Return the states of the sagas in `wanted` (key -> the triggers it is about to get).

        The kit has locked these sagas already. This method locks rows that sagas share, such as
        a number of free seats, in sorted order.
        """
        ...


@dataclass(frozen=True)
class Participant(Generic[S]):
    """Bundles a participant's decisions and tables.

    `name` is its step, the owner of its topic, and the source of its events.
    """

    name: str
    decide: Decide[S]
    evolve: Evolve[S]
    store: Store[S]


@dataclass(slots=True)
class InboxRow:
    """The inbox row of one saga in one participant: dedup, sequence, work in flight.

    Its row lock is the saga's lock. seen: source -> [highest sequence handled, its event id]; ids:
    handled ids without a sequence; sent: own events so far; in_flight: keys of pending effects;
    marks: joining marks (`routing`) and those of pauses (`handling.pause`); parked: records queued;
    gap: the source whose missing event the queue waits for, or START; sent_by: the process that
    added the saga's last outbox row (`commit_queue`); version: how often the row was written.
    facts: id of its start event and digests of the facts in it (`flow.facts`), None until that was
    read. From then on `flow` is the label of the start event.
    """

    key: str
    flow: str | None = None
    facts: str | None = None
    seen: dict[str, list[Any]] = field(default_factory=dict)
    ids: list[str] = field(default_factory=list)
    sent: int = 0
    in_flight: list[str] = field(default_factory=list)
    marks: list[str] = field(default_factory=list)
    parked: int = 0
    gap: str | None = None
    sent_by: UUID | None = None
    version: int = 0


@dataclass(slots=True)
class Changes:
    """Collects the rows that one transaction writes to the kit's tables."""

    inbox_rows: list[InboxRow] = field(default_factory=list)
    outbox: list[OutboxRow] = field(default_factory=list)
    effects: list[EffectRow] = field(default_factory=list)
    park: list[ParkedRow] = field(default_factory=list)
    unpark: list[int] = field(default_factory=list)


class Transaction(Protocol[S]):
    """One database transaction of the handler; commits if its context ends without an error."""

    def lock(self, keys: Sequence[str]) -> dict[str, InboxRow]:
        """Lock the inbox rows of these sagas in sorted order, create missing ones, return all."""
        ...

    def finish(self, leases: Sequence[Lease]) -> set[UUID]:
        """Remove the effects whose lease is still held and return their ids, without stale ones."""
        ...

    def load(self, wanted: Mapping[str, Sequence[Trigger]]) -> Working[S]:
        """Return the participant's states, see `Store.load`."""
        ...

    def parked(self, key: str, limit: int) -> list[ParkedRow]:
        """Return up to `limit` parked records of one saga, oldest first."""
        ...

    def write(self, changes: Changes, working: Working[S]) -> Sequence[EffectRow]:
        """Write the whole batch in set-based statements; return the effects that are new.

        The others repeat a pending one. Raises EffectKeyClash for one that is another call.
        """
        ...


class Database(Protocol[S]):
    """Opens transactions on a participant's database."""

    def transaction(self, *, optimistic: bool = False) -> AbstractContextManager[Transaction[S]]:
        """Open a transaction; it commits at the end and rolls back on an error.

        `optimistic`: it may lock nothing, and raises StaleState if its sagas were written
        meanwhile, or if it needs locks. Then nothing has been written.
        """
        ...


class EffectQueue(Protocol):
    """Leases pending effects to workers."""

    def claim(
        self, limit: int, lease_for: timedelta, now: datetime, suspect: bool = True
    ) -> list[EffectRow]:
        """Lease up to `limit` due effects that nobody holds, and return them.

        One whose lease ran out counts an attempt and a death. `suspect`: at most one of them may
        have SUSPECT_AFTER deaths in a row, else none.
        """
        ...

    def extend(self, leases: Sequence[Lease], until: datetime) -> None:
        """Extend leases: the heartbeat of effects that take long."""
        ...

    def retry(self, lease: Lease, error: str, due_at: datetime, deaths: int = 0) -> None:
        """Release an effect for a retry at `due_at`; attempts + 1. `deaths`: counted from now."""
        ...


Clock = Callable[[], datetime]
"""Returns the current time, aware UTC; injected everywhere."""
