"""Measures an event's way through a usual participant, in batches: its transaction and its relay.

Fraud is a usual participant: its own state is all it needs, and it calls nobody. So its batches are
written without locks, and its events are published from memory. Each part has the smallest
baseline: set-based SQL and a producer, both with the same rows at hand. See `benchmarks.parts`.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import psycopg

import services.fraud
from benchmarks.sync_parts import (
    SPARE_TOPIC,
    Part,
    migrated_engine,
    now,
    placed_records,
    produce_s,
    seconds_for,
)
from benchmarks.testbed import Testbed
from saga_lab.devstack.infra import on_server
from saga_lab.devstack.postgres import create_databases
from sagakit.flow.routing import Router
from sagakit.handling.consumer_loop import BATCH
from sagakit.handling.handler import Handler
from sagakit.handling.parking import decode_message
from sagakit.kafka.publisher import Publisher
from sagakit.messages.codec import Codec
from sagakit.messages.envelope import AppendTimes, OutboxRow
from sagakit.outbox.relay import Relay
from sagakit.store.commit_queue import CommitQueue
from sagakit.store.packed_headers import unpack_headers
from sagakit.store.ports import Changes, InboxRow
from sagakit.store.postgres import PostgresDatabase, engine_for
from schemas import CONTRACT, FLOWS
from services.fraud.service import participant
from shop.workload.orders import FLOW_LABELS

DATABASE, BASELINE = "hot_path", "hot_path_baseline"
"""Databases that this module creates."""
WITH_FRAUD = FLOW_LABELS[2]
TRANSACTION_GOAL, RELAY_GOAL = 0.6, 0.5
WAIT_S, SELDOM_S = 300.0, 3600.0
_READ = """
SELECT json_agg(r)::text FROM (SELECT *, row_number() OVER () - 1 AS number FROM {table}) AS r
GROUP BY number / {batch} ORDER BY number / {batch}
"""
_INSERT = """
INSERT INTO {table} ({columns})
SELECT {columns} FROM json_populate_recordset(NULL::{table}, %s::json)
"""
_WRITTEN = {
    "inbox": "key, flow, seen, ids, sent, in_flight, marks, parked, gap, sent_by, version",
    "screening": "saga, phase, email",
    "outbox": "topic, key, headers, value",
}
"""Tables that fraud's transaction writes, and their columns."""


def usual_transaction(testbed: Testbed, count: int) -> Part:
    """Measure events a second through fraud's transaction: inbox, state and outbox.

    Deciding and encoding are included; the events are decoded before. Baseline: one INSERT a table
    and batch, in one transaction, of rows that are JSON already.
    """
    known = testbed.database("fraud")
    create_databases(known, (DATABASE, BASELINE))
    engine = migrated_engine(on_server(known, DATABASE), services.fraud)
    migrated_engine(on_server(known, BASELINE), services.fraud).dispose()
    codec, fraud = Codec(CONTRACT), participant()
    database = PostgresDatabase(engine, fraud.store, now)
    handler = Handler(fraud, database, Router(FLOWS, fraud.name), codec, now)
    records = placed_records(count, WITH_FRAUD)
    messages = [decode_message(codec, record) for record in records]

    def handle_all() -> None:
        for start in range(0, len(messages), BATCH):
            handler.handle(messages[start : start + BATCH])

    seconds = seconds_for(handle_all)
    engine.dispose()
    baseline_s = _insert_s(on_server(known, DATABASE), on_server(known, BASELINE))
    name = "fraud: inbox + state + outbox"
    return Part(name, count / seconds, count / baseline_s, TRANSACTION_GOAL)


def _insert_s(url: str, baseline_url: str) -> float:
    """Insert the rows of one database into the other, and return the seconds it took."""
    with psycopg.connect(url) as connection:
        documents = [
            [text for (text,) in connection.execute(_READ.format(table=table, batch=BATCH))]
            for table in _WRITTEN
        ]
    statements = [_INSERT.format(table=t, columns=columns) for t, columns in _WRITTEN.items()]
    with psycopg.connect(baseline_url, autocommit=True, prepare_threshold=0) as connection:

        def insert_all() -> None:
            for batch in zip(*documents, strict=True):
                with connection.transaction():
                    for statement, document in zip(statements, batch, strict=True):
                        connection.execute(statement, [document])

        return seconds_for(insert_all)


def relay_from_memory(testbed: Testbed) -> Part:
    """Measure events a second from the commit to the topic, as a relay publishes from memory.

    The rows are those of `usual_transaction`. Their removal from the outbox is included. Baseline:
    a producer that has the rows in memory.
    """
    url = on_server(testbed.database("fraud"), DATABASE)
    with psycopg.connect(url) as connection:
        first, *rows = _rows(connection)
        connection.execute("CREATE TABLE later AS SELECT * FROM outbox WHERE id > %s", [first.id])
        connection.execute("DELETE FROM outbox WHERE id > %s", [first.id])
    commits = CommitQueue()
    publisher = CountingPublisher(testbed.bootstrap_servers)
    # The first send takes half a second longer, so it is not timed.
    publisher.publish([replace(first, topic=SPARE_TOPIC)])
    publisher.expect(1)
    with _relaying(url, publisher, commits) as stop:
        # It publishes the first row from the table, and does not read it again by itself.
        publisher.wait()
        with psycopg.connect(url) as connection:
            connection.execute("INSERT INTO outbox OVERRIDING SYSTEM VALUE SELECT * FROM later")
        publisher.expect(len(rows))
        batches = [_changes(rows[start : start + BATCH]) for start in range(0, len(rows), BATCH)]
        begun = time.perf_counter()
        for changes in batches:
            if commit := commits.announce(changes):
                commits.settle(commit, changes.outbox)
        publisher.wait()
        stop()
        seconds = time.perf_counter() - begun
    with psycopg.connect(url) as connection:
        if left := _rows(connection):
            raise RuntimeError(f"the relay has left {len(left)} rows in the outbox")
    baseline_s = produce_s(testbed, rows)
    return Part("relay from memory", len(rows) / seconds, len(rows) / baseline_s, RELAY_GOAL)


class CountingPublisher:
    """Publishes, and tells when as many rows as expected are published."""

    def __init__(self, bootstrap_servers: str) -> None:
        self._publisher = Publisher(bootstrap_servers, "parts")
        self._left, self._published = 0, threading.Event()

    def expect(self, count: int) -> None:
        """Expect `count` rows from now on."""
        self._left = count
        self._published.clear()

    def wait(self) -> None:
        """Wait until they are published. Raises TimeoutError."""
        if not self._published.wait(WAIT_S):
            raise TimeoutError(f"{self._left} rows were not published within {WAIT_S} s")

    def publish(self, rows: Sequence[OutboxRow]) -> AppendTimes:
        """See `relay.OutboxPublisher`."""
        times = self._publisher.publish(rows)
        self._left -= len(rows)
        if self._left <= 0:
            self._published.set()
        return times

    def discard(self) -> None:
        """See `relay.OutboxPublisher`."""
        self._publisher.discard()


@contextmanager
def _relaying(
    url: str, publisher: CountingPublisher, commits: CommitQueue
) -> Iterator[Callable[[], None]]:
    """Run a relay, and yield what stops it and waits for its end."""
    engine, stopping = engine_for(url), threading.Event()
    relay = Relay(engine, publisher, now, commits=commits, poll_s=SELDOM_S)
    thread = threading.Thread(target=relay.run, args=(stopping,), daemon=True)
    thread.start()

    def stop() -> None:
        stopping.set()
        relay.wake()
        thread.join(WAIT_S)

    try:
        yield stop
    finally:
        stop()
        engine.dispose()


def _rows(connection: psycopg.Connection) -> list[OutboxRow]:
    found = connection.execute("SELECT id, topic, key, headers, value FROM outbox ORDER BY id")
    return [OutboxRow(t, k, unpack_headers(h), bytes(v), number) for number, t, k, h, v in found]


def _changes(rows: Sequence[OutboxRow]) -> Changes:
    """Return the part of a transaction's changes that the relay's queue looks at."""
    return Changes(inbox_rows=[InboxRow(row.saga) for row in rows], outbox=list(rows))
