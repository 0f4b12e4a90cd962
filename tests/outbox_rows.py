"""An outbox with rows, and what publishes them: for tests of the relay and of those around it."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import text

from sagakit.identity import saga_key
from sagakit.kafka.publisher import Publisher, PublishFailed
from sagakit.messages.envelope import AppendTimes, OutboxRow
from sagakit.outbox.relay import NEW_EPOCH, Relay, autocommit_connection
from sagakit.store.ports import Changes
from sagakit.store.postgres import PostgresDatabase, engine_for
from tests.stack import PATIENCE_S, TestInfra
from tests.toy_saga import NOW, create_tables, table_store

LEADERS = """
    SELECT l.pid FROM pg_locks l JOIN pg_database d ON d.oid = l.database
    WHERE l.locktype = 'advisory' AND l.granted AND d.datname = current_database()
"""
EPOCH = "SELECT epoch FROM relay_epoch"
LOGGED_MS = 1_700_000_000_000
"""When the broker in memory takes the row with id 0; the next a millisecond later."""
Row = tuple[str, str]


class Book:
    """A service's database, with rows to be published."""

    def __init__(self, url: str, topic: str) -> None:
        self.url, self.topic = url, topic
        self.engine = engine_for(url)
        create_tables(self.engine)
        self.database = PostgresDatabase(self.engine, table_store(), lambda: NOW)

    def write(
        self,
        key: str,
        more: int = 1,
        then: Callable[[], None] = lambda: None,
        database: PostgresDatabase[Any] | None = None,
    ) -> None:
        """Own events of an order, as the handler writes them: its row is locked first."""
        with (database or self.database).transaction() as tx:
            inbox_row = tx.lock([saga_key("toy", key)])[saga_key("toy", key)]
            numbers = range(inbox_row.sent + 1, inbox_row.sent + 1 + more)
            inbox_row.sent += more
            rows = [self.row(key, str(n)) for n in numbers]
            tx.write(Changes([inbox_row], rows), tx.load({}))
            then()

    def row(self, key: str, value: str) -> OutboxRow:
        return OutboxRow(self.topic, key, (("flow", b"toy/1"), ("h", b"\xff")), value.encode())

    def scalar(self, query: str, **parameters: Any) -> Any:
        with self.engine.begin() as connection:
            return connection.execute(text(query), parameters).scalar()

    def waiting(self) -> list[Row]:
        return self._rows("outbox")

    def sent(self) -> list[Row]:
        return self._rows("outbox_sent")

    def _rows(self, table: str) -> list[Row]:
        with self.engine.connect() as connection:
            rows = connection.execute(text(f"SELECT key, value FROM {table} ORDER BY id"))
            return [(r.key, bytes(r.value).decode("latin-1")) for r in rows]

    def empty(self) -> bool:
        return not self.waiting()


class Ledger:
    """A publisher in memory, which fails when told to."""

    def __init__(self, later_ms: int = 0) -> None:
        self.began_ms = LOGGED_MS + later_ms
        self.log: list[Row] = []
        self.failures: list[int] = []
        self.forgotten = 0

    def publish(self, rows: Sequence[OutboxRow]) -> AppendTimes:
        good = self.failures.pop(0) if self.failures else len(rows)
        self.log += [(r.key, r.value.decode()) for r in rows[:good]]
        logged = {row.id: self.began_ms + row.id for row in rows[:good]}
        if good < len(rows):
            raise PublishFailed(logged, "the broker went away")
        return logged

    def discard(self) -> None:
        self.forgotten += 1


def relay_of(book: Book, publisher: Any, **options: Any) -> Relay:
    return Relay(book.engine, publisher, lambda: NOW, **options)


@contextmanager
def leading(book: Book) -> Iterator[tuple[Any, int]]:
    """A connection with a fresh epoch, to publish batch by batch."""
    with autocommit_connection(book.engine) as connection:
        yield connection, connection.execute(NEW_EPOCH).scalar_one()


@contextmanager
def running(infra: TestInfra, book: Book, count: int) -> Iterator[list[Relay]]:
    """So many relays, each with connections and a producer of its own."""
    stop = threading.Event()
    relays: list[Relay] = []
    threads: list[threading.Thread] = []
    died: list[BaseException] = []

    def run(relay: Relay) -> None:
        try:
            relay.run(stop)
        except BaseException as error:
            died.append(error)

    for n in range(count):
        publisher = Publisher(infra.bootstrap_servers, f"relay-{n}")
        engine = engine_for(book.url)
        relays.append(Relay(engine, publisher, lambda: NOW, poll_s=0.05))
        threads.append(threading.Thread(target=run, args=(relays[-1],), daemon=True))
    for thread in threads:
        thread.start()
    try:
        yield relays
    finally:
        stop.set()
        for thread in threads:
            thread.join(PATIENCE_S)
        assert not any(thread.is_alive() for thread in threads)
        assert died == []
        for relay in relays:
            relay._engine.dispose()


# --- no row is skipped --------------------------------------------------------------------------


@contextmanager
def relaying(relay: Relay) -> Iterator[threading.Event]:
    """A relay in a thread of its own, stopped at the end, also of a test that fails; its stop."""
    stop = threading.Event()
    thread = threading.Thread(target=relay.run, args=(stop,), daemon=True)
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        relay.wake()
        thread.join(PATIENCE_S)
    assert not thread.is_alive()
