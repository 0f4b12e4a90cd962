"""The relay publishes what its own process commits from memory, never past an older row."""

import threading
from functools import partial
from typing import Any

import pytest

from sagakit.faults import Crash, CrashAt
from sagakit.kafka.publisher import Publisher
from sagakit.outbox import relay as relays
from sagakit.outbox.already_published import find_published
from sagakit.store.commit_queue import CommitQueue
from sagakit.store.postgres import PostgresDatabase
from tests.kafka import read
from tests.outbox_rows import Book, Ledger, leading, relay_of, relaying
from tests.stack import PATIENCE_S, TestInfra, until
from tests.toy_saga import NOW, table_store


class Reads:
    """Counts the reads of the table."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        fetch = relays._fetch_rows

        def counted(connection: Any, *window: int) -> Any:
            self.count += 1
            return fetch(connection, *window)

        monkeypatch.setattr(relays, "_fetch_rows", counted)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    return Reads(monkeypatch)


def other_process(book: Book) -> PostgresDatabase[Any]:
    """A replica on the same database, whose notification gets lost."""
    return PostgresDatabase(book.engine, table_store(), lambda: NOW, CommitQueue())


def test_what_its_own_process_commits_is_published_without_a_look_at_the_table(
    book: Book, reads: Reads
) -> None:
    publisher = Ledger()
    relay = relay_of(book, publisher, commits=book.database.commits, poll_s=3600.0)
    with relaying(relay):
        until(lambda: relay.leading and reads.count >= 2, "it has read the table")
        seen = reads.count
        for n in range(1, 4):
            book.write("a")
            until(lambda n=n: len(publisher.log) == n, "published")  # type: ignore[misc]
        until(book.empty, "the published rows removed")
        assert reads.count == seen
    assert publisher.log == book.sent() == [("a", "1"), ("a", "2"), ("a", "3")]


def test_an_older_row_of_another_replica_is_published_before(book: Book, reads: Reads) -> None:
    """Given a row of another replica that nobody has told of; when this process commits the next
    one of that saga; then the relay reads the table before."""
    publisher = Ledger()
    relay = relay_of(book, publisher, commits=book.database.commits, poll_s=3600.0)
    with relaying(relay):
        until(lambda: relay.leading and reads.count >= 2, "it has read the table")
        book.write("b")
        until(lambda: publisher.log == [("b", "1")], "published from memory")
        book.write("a", 2, database=other_process(book))
        book.write("a")
        until(lambda: len(publisher.log) == 4, "all published")
        until(book.empty, "removed")
    assert publisher.log == [("b", "1"), ("a", "1"), ("a", "2"), ("a", "3")]


def test_after_a_failed_delivery_from_memory_nothing_passes_the_row(book: Book) -> None:
    publisher = Ledger()
    publisher.failures = [1, 0, 0]
    relay = relay_of(book, publisher, commits=book.database.commits, poll_s=0.02)
    with relaying(relay):
        until(lambda: relay.leading, "it leads")
        for _ in range(20):
            book.write("a", 2)
        until(book.empty, "published")
    assert publisher.log == [("a", str(n)) for n in range(1, 41)]


def test_an_open_transaction_that_the_table_did_not_show_is_not_passed(
    book: Book, reads: Reads
) -> None:
    """Given a transaction open while the table is read; when it commits and the next event of its
    saga with it; then both come in order."""
    publisher = Ledger()
    relay = relay_of(book, publisher, commits=book.database.commits, poll_s=3600.0)
    with relaying(relay):
        until(lambda: relay.leading and reads.count >= 2, "it has read the table")
        seen = reads.count

        def look() -> None:
            relay.wake()
            until(lambda: reads.count > seen, "the table read meanwhile")

        book.write("a", 2, look)
        book.write("a")
        until(lambda: len(publisher.log) == 3, "published")
    assert publisher.log == [("a", "1"), ("a", "2"), ("a", "3")]


def test_what_commits_while_the_table_is_read_is_published_once(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a relay about to read the table; when its own process commits before the read sees the
    table; then the row is in the table and in memory, and is published from one of them."""
    publisher, fetch = Ledger(), relays._fetch_rows

    def after_a_commit(connection: Any, *window: int) -> Any:
        if not publisher.log:
            book.write("a")
        return fetch(connection, *window)

    relay = relay_of(book, publisher, commits=book.database.commits, poll_s=3600.0)
    monkeypatch.setattr(relays, "_fetch_rows", after_a_commit)
    with relaying(relay):
        until(lambda: bool(publisher.log) and book.empty(), "published and removed")
        book.write("b")
        until(lambda: ("b", "1") in publisher.log and book.empty(), "the next one too")
    assert len(publisher.log) == len(set(publisher.log)) == len(book.sent())


def test_a_relay_killed_after_it_published_from_memory_publishes_nothing_twice(
    infra: TestInfra, book: Book, reads: Reads
) -> None:
    """Given a process that dies when it has published from memory and removed nothing; when the
    next one leads; then it finds these rows in the log."""
    publisher = Publisher(infra.bootstrap_servers, "killed")
    killed = relay_of(
        book,
        publisher,
        commits=book.database.commits,
        poll_s=3600.0,
        faults=CrashAt("mid-relay"),
    )

    def dies() -> None:
        with pytest.raises(Crash):
            killed.run(threading.Event())

    process = threading.Thread(target=dies)
    process.start()
    until(lambda: killed.leading and reads.count >= 2, "it has read the table")
    book.write("a", 3)
    process.join(PATIENCE_S)
    assert not process.is_alive()
    assert len(book.waiting()) == 3
    book.write("a", database=other_process(book))
    looks_up = partial(find_published, infra.bootstrap_servers)
    with leading(book) as (connection, epoch):
        relay_of(book, publisher, find_published=looks_up).publish_once(connection, epoch)
    log = read(infra.bootstrap_servers, book.topic)
    assert [(r.key, r.value) for r in log] == [(b"a", str(n).encode()) for n in range(1, 5)]
    assert book.empty()
    publisher.discard()
