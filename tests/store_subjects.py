"""A store under test, memory or PostgreSQL, and rows for it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4, uuid5

from sqlalchemy import text

from sagakit.decider import Effect, Observed
from sagakit.messages.envelope import (
    NAMESPACE,
    EffectRow,
    Lease,
    OutboxRow,
    ParkedRow,
    Record,
    Trace,
)
from sagakit.store.commit_queue import CommitQueue
from sagakit.store.memory import MemoryDatabase
from sagakit.store.packed_headers import unpack_headers
from sagakit.store.ports import Changes, InboxRow, Transaction
from sagakit.store.saga_cache import SagaCache
from tests.toy_saga import (
    NOW,
    Count,
    Ticked,
)

LEASE = timedelta(seconds=15)
LATER = NOW + timedelta(minutes=1)


@dataclass
class Subject:
    """A store under test, with a look at its outbox."""

    database: Any

    @contextmanager
    def transaction(self) -> Iterator[Transaction[Count]]:
        with self.database.transaction() as tx:
            yield tx

    def write(self, keys: Sequence[str], **changes: Any) -> Sequence[EffectRow]:
        """One transaction that only writes; the effects that are new."""
        with self.transaction() as tx:
            inbox_rows = tx.lock(sorted(keys))
            return tx.write(Changes(inbox_rows=list(inbox_rows.values()), **changes), tx.load({}))

    def inbox_row(self, key: str) -> InboxRow:
        with self.transaction() as tx:
            return tx.lock([key])[key]

    def queue(self, key: str) -> list[ParkedRow]:
        with self.transaction() as tx:
            return tx.parked(key, 100)

    def state(self, key: str) -> Count:
        with self.transaction() as tx:
            return tx.load({key: [Observed("Ticked", Ticked(key))]}).get(key)

    def outbox(self) -> list[OutboxRow]:
        if isinstance(self.database, MemoryDatabase):
            return list(self.database.tables.outbox.values())
        with self.database.engine.connect() as connection:
            rows = connection.execute(
                text("SELECT id, topic, key, headers, value FROM outbox ORDER BY id")
            )
            return [
                OutboxRow(r.topic, r.key, unpack_headers(r.headers), r.value, r.id) for r in rows
            ]

    def claim(self, limit: int = 10, now: datetime = NOW) -> list[EffectRow]:
        rows: list[EffectRow] = self.database.claim(limit, LEASE, now)
        return rows

    @contextmanager
    def other_process(self) -> Iterator[None]:
        """Meanwhile another process uses the database, which shares no memory with this one."""
        own = self.database.cache, self.database.commits
        self.database.cache, self.database.commits = SagaCache(), CommitQueue()
        yield
        self.database.cache, self.database.commits = own

    def finish(self, *leases: Lease) -> set[UUID]:
        with self.transaction() as tx:
            return tx.finish(leases)


def effect(key: str, **changes: Any) -> EffectRow:
    trace = Trace("toy/1", "c-1", None)
    row = EffectRow(
        uuid5(NAMESPACE, key), Effect("call", key, {"n": 1, "ü": [None]}, "toy/o1"), trace
    )
    return replace(row, **changes)


def leased(key: str, until: datetime) -> EffectRow:
    row = effect(key)
    return replace(row, lease=Lease(row.id, uuid4()), lease_until=until)


def parked(key: str, offset: int, code: str = "decide", **changes: Any) -> ParkedRow:
    record = Record("left.events", 0, offset, 5, key.encode(), b"\0\xff", (("h", b"\xff\0"),))
    return replace(ParkedRow(key, code, f"why {offset}", record, "left", offset), **changes)


def row(key: str, value: bytes = b"\0\xff") -> OutboxRow:
    return OutboxRow("counter.events", key, (("n", b"\xff\0"), ("n", "ü".encode())), value)
