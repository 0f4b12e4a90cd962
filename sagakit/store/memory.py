"""Implements the store in memory, with transactions that are all or nothing.

Pure tests and the simulation use it. One conformance suite checks that it and the PostgreSQL store
behave the same.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar, cast
from uuid import UUID, uuid5

from sqlalchemy import Connection, MetaData

from sagakit.decider import Trigger
from sagakit.messages.envelope import NAMESPACE, EffectRow, Lease, OutboxRow, ParkedRow
from sagakit.store.ports import PAUSED, Changes, InboxRow, Store, Working

S = TypeVar("S")
NO_CONNECTION = cast(Connection, None)


class MemoryStore(Generic[S]):
    """Keeps a participant's states in a dict; `initial` is the state of an unknown saga."""

    def __init__(self, initial: S) -> None:
        self.metadata = MetaData()
        self.initial = initial
        self.states: dict[str, S] = {}

    def load(
        self, connection: Connection, wanted: Mapping[str, Sequence[Trigger]]
    ) -> "_MemoryWorking[S]":
        """See `ports.Store`."""
        return _MemoryWorking(self)


class _MemoryWorking(Generic[S]):
    def __init__(self, store: MemoryStore[S]) -> None:
        self._store = store
        self._changed: dict[str, S] = {}

    def get(self, key: str) -> S:
        return self._changed.get(key, self._store.states.get(key, self._store.initial))

    def put(self, key: str, state: S, events: tuple[Any, ...]) -> None:
        self._changed[key] = state

    def save(self, connection: Connection) -> None:
        self._store.states.update(self._changed)


@dataclass(slots=True)
class _Pending:
    row: EffectRow
    due_at: datetime
    lease_until: datetime
    error: str = ""


@dataclass(slots=True)
class Tables:
    """Holds the rows of the kit's tables; `effects` by saga and key."""

    inbox_rows: dict[str, InboxRow] = field(default_factory=dict)
    outbox: dict[int, OutboxRow] = field(default_factory=dict)
    effects: dict[tuple[str, str], _Pending] = field(default_factory=dict)
    parked: dict[int, ParkedRow] = field(default_factory=dict)
    next_id: int = 1

    def copied(self) -> "Tables":
        """Return a copy that shares the rows; `lock` copies inbox rows before they can change."""
        return Tables(
            dict(self.inbox_rows),
            dict(self.outbox),
            dict(self.effects),
            dict(self.parked),
            self.next_id,
        )


class MemoryDatabase(Generic[S]):
    """Implements `ports.Database` and `ports.EffectQueue`; runs one transaction at a time."""

    def __init__(self, store: Store[S], now: datetime) -> None:
        self.store = store
        self.now = now
        self.tables = Tables()
        self._claims = 0
        self._lock = threading.RLock()

    @contextmanager
    def transaction(self) -> Iterator["_MemoryTransaction[S]"]:
        """Run a transaction on a copy of the tables, which replaces them at commit."""
        with self._lock:
            tx = _MemoryTransaction(self)
            yield tx
            tx.commit()

    def claim(self, limit: int, lease_for: timedelta, now: datetime) -> list[EffectRow]:
        """See `ports.EffectQueue`."""
        found = []
        with self._lock:
            pending = self.tables.effects.values()
            due = [p for p in pending if p.due_at <= now and p.lease_until <= now]
            for p in sorted(due, key=lambda p: p.due_at)[:limit]:
                self._claims += 1
                lease = Lease(p.row.id, uuid5(NAMESPACE, f"claim:{self._claims}"))
                p.row, p.lease_until = replace(p.row, lease=lease), now + lease_for
                found.append(p.row)
        return found

    def extend(self, leases: Sequence[Lease], until: datetime) -> None:
        """See `ports.EffectQueue`."""
        with self._lock:
            for pending in self._held(leases):
                pending.lease_until = until

    def retry(self, lease: Lease, error: str, due_at: datetime) -> None:
        """See `ports.EffectQueue`."""
        with self._lock:
            for pending in self._held([lease]):
                pending.row = replace(pending.row, attempts=pending.row.attempts + 1, lease=None)
                pending.due_at = pending.lease_until = due_at
                pending.error = error

    def _held(self, leases: Sequence[Lease]) -> list[_Pending]:
        return [p for p in self.tables.effects.values() if p.row.lease in leases]


class _MemoryTransaction(Generic[S]):
    def __init__(self, database: MemoryDatabase[S]) -> None:
        self._database = database
        self._tables = database.tables.copied()
        self._working: Working[S] | None = None

    def commit(self) -> None:
        if self._working is not None:
            self._working.save(NO_CONNECTION)
        self._database.tables = self._tables

    def lock(self, keys: Sequence[str]) -> dict[str, InboxRow]:
        inbox_rows = self._tables.inbox_rows
        inbox_rows |= {k: _copied(inbox_rows[k]) if k in inbox_rows else InboxRow(k) for k in keys}
        return {k: inbox_rows[k] for k in keys}

    def finish(self, leases: Sequence[Lease]) -> set[UUID]:
        leased = {key: p.row.id for key, p in self._tables.effects.items() if p.row.lease in leases}
        for key in leased:
            del self._tables.effects[key]
        return set(leased.values())

    def load(self, wanted: Mapping[str, Sequence[Trigger]]) -> Working[S]:
        return self._database.store.load(NO_CONNECTION, wanted)

    def parked(self, key: str, limit: int) -> list[ParkedRow]:
        return [p for p in self._tables.parked.values() if p.key == key][:limit]

    def write(self, changes: Changes, working: Working[S]) -> None:
        self._working, tables = working, self._tables
        for row in changes.outbox:
            tables.outbox[tables.next_id] = replace(row, id=tables.next_id)
            tables.next_id += 1
        for effect in changes.effects:
            now = self._database.now
            pending = _Pending(effect, now, effect.lease_until or now)
            tables.effects.setdefault((effect.saga, effect.effect.key), pending)
        known = {_place(p): p.id for p in tables.parked.values()}
        for park in changes.park:
            number = known.get(_place(park))
            if number is None:
                tables.parked[tables.next_id] = replace(park, id=tables.next_id)
                tables.next_id += 1
            elif park.code != "queued" or park.key != tables.parked[number].key:
                old = tables.parked[number]
                tables.parked[number] = replace(old, key=park.key, code=park.code, error=park.error)
        for number in changes.unpark:
            tables.parked.pop(number, None)
        if changes.park or changes.unpark:
            for inbox_row in changes.inbox_rows:
                queue = self.parked(inbox_row.key, len(tables.parked))
                inbox_row.parked = sum(row.code != PAUSED for row in queue)


def _copied(inbox_row: InboxRow) -> InboxRow:
    return InboxRow(
        key=inbox_row.key,
        flow=inbox_row.flow,
        seen={source: list(last) for source, last in inbox_row.seen.items()},
        ids=list(inbox_row.ids),
        sent=inbox_row.sent,
        in_flight=list(inbox_row.in_flight),
        marks=list(inbox_row.marks),
        parked=inbox_row.parked,
        gap=inbox_row.gap,
    )


def _place(row: ParkedRow) -> tuple[str, int, int]:
    return row.record.topic, row.record.partition, row.record.offset
