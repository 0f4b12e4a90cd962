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

from psycopg import Connection
from sqlalchemy import MetaData

from sagakit.decider import Trigger
from sagakit.errors import StaleState
from sagakit.messages.envelope import NAMESPACE, EffectRow, Lease, OutboxRow, ParkedRow
from sagakit.store.commit_queue import Commit, CommitQueue
from sagakit.store.effects import check_repeats
from sagakit.store.loaded_states import LoadedStates
from sagakit.store.ports import (
    CONFLICT,
    DIED,
    PAUSED,
    SUSPECT_AFTER,
    Changes,
    InboxRow,
    Store,
    Working,
)
from sagakit.store.saga_cache import SagaCache

S = TypeVar("S")
NO_CONNECTION = cast("Connection[Any]", None)


class MemoryStore(Generic[S]):
    """Keeps a participant's states in a dict; `initial` is the state of an unknown saga."""

    def __init__(self, initial: S) -> None:
        self.metadata = MetaData()
        self.initial = initial
        self.states: dict[str, S] = {}

    def load(
        self, connection: Connection[Any], wanted: Mapping[str, Sequence[Trigger]]
    ) -> "MemoryWorking[S]":
        """See `ports.Store`."""
        return MemoryWorking(self, {key: self.state(key) for key in wanted})

    def state(self, key: str) -> S:
        """Return a saga's stored state."""
        return self.states.get(key, self.initial)


class MemoryWorking(LoadedStates[S]):
    """Implements `ports.Working` for a MemoryStore."""

    def __init__(self, store: MemoryStore[S], states: dict[str, S]) -> None:
        super().__init__(store.initial, states)
        self._store = store

    def save(self, connection: Connection[Any]) -> None:
        """See `ports.Working`."""
        self._store.states |= self.changed()


@dataclass(slots=True)
class _Pending:
    row: EffectRow
    due_at: datetime
    lease_until: datetime
    error: str = ""

    @property
    def deaths_by_now(self) -> int:
        """The deaths in a row, with that of the process whose lease ran out."""
        return self.row.deaths + (self.row.lease is not None)


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
        self.commits = CommitQueue()
        self.cache: SagaCache[S] = SagaCache()
        self.tables = Tables()
        self._claims = 0
        self._lock = threading.RLock()

    @contextmanager
    def transaction(self, *, optimistic: bool = False) -> Iterator["_MemoryTransaction[S]"]:
        """Run a transaction on a copy of the tables, which replaces them at commit."""
        with self._lock:
            unlocked = self.store if optimistic and isinstance(self.store, MemoryStore) else None
            tx = _MemoryTransaction(self, unlocked)
            try:
                yield tx
                tx.commit()
            except BaseException:
                tx.settle(committed=False)
                raise
            tx.settle(committed=True)

    def claim(
        self, limit: int, lease_for: timedelta, now: datetime, suspect: bool = True
    ) -> list[EffectRow]:
        """See `ports.EffectQueue`."""
        with self._lock:
            pending = self.tables.effects.values()
            due = [p for p in pending if p.due_at <= now and p.lease_until <= now]
            due.sort(key=lambda p: p.due_at)
            suspects = [p for p in due if p.deaths_by_now >= SUSPECT_AFTER]
            kept_back = suspects[int(suspect) :]
            chosen = [p for p in due if p not in kept_back][:limit] if kept_back else due[:limit]
            for p in chosen:
                self._claims += 1
                lease = Lease(p.row.id, uuid5(NAMESPACE, f"claim:{self._claims}"))
                died = p.row.lease is not None
                p.error = DIED if died else p.error
                p.row = replace(
                    p.row,
                    lease=lease,
                    attempts=p.row.attempts + died,
                    deaths=p.row.deaths + died,
                )
                p.lease_until = now + lease_for
            return [p.row for p in chosen]

    def extend(self, leases: Sequence[Lease], until: datetime) -> None:
        """See `ports.EffectQueue`."""
        with self._lock:
            for pending in self._held(leases):
                pending.lease_until = until

    def retry(self, lease: Lease, error: str, due_at: datetime, deaths: int = 0) -> None:
        """See `ports.EffectQueue`."""
        with self._lock:
            for pending in self._held([lease]):
                pending.row = replace(
                    pending.row, attempts=pending.row.attempts + 1, lease=None, deaths=deaths
                )
                pending.due_at = pending.lease_until = due_at
                pending.error = error

    def _held(self, leases: Sequence[Lease]) -> list[_Pending]:
        return [p for p in self.tables.effects.values() if p.row.lease in leases]


class _MemoryTransaction(Generic[S]):
    """`unlocked`: the store, if its sagas are read and written without a lock."""

    def __init__(self, database: MemoryDatabase[S], unlocked: MemoryStore[S] | None) -> None:
        self._database, self._unlocked = database, unlocked
        self._tables = database.tables.copied()
        self._states: dict[str, S] = {}
        self._working: Working[S] | None = None
        self._changes = Changes()
        self._commit: Commit | None = None
        self._rows: list[OutboxRow] = []

    def commit(self) -> None:
        for row in self._changes.inbox_rows:
            if self.has_moved(row):
                raise StaleState(f"{row.key!r} has been written since")
            row.version += 1
        if self._working is not None:
            self._working.save(NO_CONNECTION)
        self._database.tables = self._tables

    def has_moved(self, row: InboxRow) -> bool:
        """Tell whether a saga has been written since its row was read."""
        there = self._database.tables.inbox_rows.get(row.key)
        return row.version != (there.version if there else 0)

    def settle(self, *, committed: bool) -> None:
        """Hand the rows to the relay, and keep the sagas for the next batch."""
        if committed and isinstance(self._working, MemoryWorking):
            rows = {row.key: _copied(row) for row in self._changes.inbox_rows}
            kept = self._working.loaded(rows)
            self._database.cache.keep((rows[key], state) for key, state in kept.items())
        if self._commit:
            self._database.commits.settle(self._commit, self._rows if committed else ())

    def lock(self, keys: Sequence[str]) -> dict[str, InboxRow]:
        inbox_rows, cached = self._tables.inbox_rows, self._database.cache.take(keys)
        inbox_rows |= {k: _copied(inbox_rows[k]) if k in inbox_rows else InboxRow(k) for k in keys}
        if self._unlocked:
            inbox_rows |= {key: row for key, (row, _) in cached.items()}
            self._states = {key: self._unlocked.state(key) for key in keys}
            self._states |= {key: state for key, (_, state) in cached.items()}
        return {k: inbox_rows[k] for k in keys}

    def finish(self, leases: Sequence[Lease]) -> set[UUID]:
        leased = {key: p.row.id for key, p in self._tables.effects.items() if p.row.lease in leases}
        for key in leased:
            del self._tables.effects[key]
        return set(leased.values())

    def load(self, wanted: Mapping[str, Sequence[Trigger]]) -> Working[S]:
        if self._unlocked:
            return MemoryWorking(self._unlocked, self._states)
        return self._database.store.load(NO_CONNECTION, wanted)

    def parked(self, key: str, limit: int) -> list[ParkedRow]:
        rows = self._tables.parked.values()
        return [p for p in rows if p.key == key and p.code != CONFLICT][:limit]

    def write(self, changes: Changes, working: Working[S]) -> Sequence[EffectRow]:
        if self._unlocked and (changes.park or changes.unpark):
            raise StaleState("parking takes more than one statement")
        self._working, self._changes, tables = working, changes, self._tables
        self._commit = self._database.commits.announce(changes)
        for row in changes.outbox:
            self._rows.append(replace(row, id=tables.next_id))
            tables.outbox[tables.next_id] = self._rows[-1]
            tables.next_id += 1
        added = self._add(changes.effects)
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
        return added

    def _add(self, rows: Sequence[EffectRow]) -> Sequence[EffectRow]:
        now, effects, added = self._database.now, self._tables.effects, []
        for row in rows:
            if there := effects.get((row.saga, row.effect.key)):
                check_repeats([row], [there.row.effect])
            else:
                kept = replace(row, created_at=now)
                effects[row.saga, row.effect.key] = _Pending(kept, now, row.lease_until or now)
                added.append(row)
        return added


def _copied(inbox_row: InboxRow) -> InboxRow:
    return InboxRow(
        key=inbox_row.key,
        flow=inbox_row.flow,
        facts=inbox_row.facts,
        seen={source: list(last) for source, last in inbox_row.seen.items()},
        ids=list(inbox_row.ids),
        sent=inbox_row.sent,
        in_flight=list(inbox_row.in_flight),
        marks=list(inbox_row.marks),
        parked=inbox_row.parked,
        gap=inbox_row.gap,
        sent_by=inbox_row.sent_by,
        version=inbox_row.version,
    )


def _place(row: ParkedRow) -> tuple[str, int, int]:
    return row.record.topic, row.record.partition, row.record.offset
