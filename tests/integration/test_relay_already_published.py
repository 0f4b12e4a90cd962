"""What is in the log already is not published again, and keeps the time it has there."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial

import pytest
from sqlalchemy import text

from sagakit.faults import Crash, CrashAt
from sagakit.kafka.publisher import Publisher
from sagakit.messages.envelope import AppendTimes, OutboxRow
from sagakit.outbox.already_published import find_published
from sagakit.outbox.relay import LogUnreadable
from tests.kafka import read
from tests.outbox_rows import Book, Ledger, leading, relay_of
from tests.stack import TestInfra


def test_a_relay_killed_before_it_removed_published_rows_does_not_publish_them_again(
    infra: TestInfra, book: Book
) -> None:
    looks_up = partial(find_published, infra.bootstrap_servers)
    book.write("a", 3)
    book.write("b", 2)
    publisher = Publisher(infra.bootstrap_servers, "killed")
    with leading(book) as (connection, epoch), pytest.raises(Crash):
        relay_of(book, publisher, faults=CrashAt("mid-relay")).publish_once(connection, epoch)
    book.write("b")
    with leading(book) as (connection, epoch):
        relay_of(book, publisher, find_published=looks_up).publish_once(connection, epoch)
    log = read(infra.bootstrap_servers, book.topic)
    assert sorted(((r.key or b"").decode(), (r.value or b"").decode()) for r in log) == [
        *[("a", "1"), ("a", "2"), ("a", "3")],
        *[("b", "1"), ("b", "2"), ("b", "3")],
    ]
    assert book.empty()
    with book.engine.connect() as connection:
        kept = connection.execute(text("SELECT key, value, logged_ms FROM outbox_sent")).all()
    assert {(r.key.encode(), bytes(r.value), r.logged_ms) for r in kept} == {
        (r.key, r.value, r.timestamp_ms) for r in log
    }
    publisher.discard()


def test_only_the_rows_of_a_key_before_its_first_gap_count_as_published(
    infra: TestInfra, book: Book
) -> None:
    """Else what is published again would stand behind what came later."""
    rows = [OutboxRow(book.topic, "a", (), str(n).encode(), n) for n in (1, 2, 3)]
    publisher = Publisher(infra.bootstrap_servers, "gap")
    publisher.publish([rows[0], rows[2]])
    assert find_published(infra.bootstrap_servers, rows).keys() == {1}
    publisher.discard()


def test_the_first_of_two_equal_records_counts_as_the_published_one(
    infra: TestInfra, book: Book
) -> None:
    row = OutboxRow(book.topic, "a", (("ce_id", b"1"),), b"1", 1)
    publisher = Publisher(infra.bootstrap_servers, "twice")
    first = publisher.publish([row])
    publisher.publish([row])
    assert find_published(infra.bootstrap_servers, [row]) == first
    another = OutboxRow(book.topic, "a", (("ce_id", b"2"),), b"1", 1)
    assert find_published(infra.bootstrap_servers, [another]) == {}
    publisher.discard()


def test_a_lookup_fails_when_the_broker_does_not_answer(book: Book) -> None:
    row = OutboxRow(book.topic, "a", (), b"1", 1)
    with pytest.raises(LogUnreadable):
        find_published("127.0.0.1:1", [row])
    with pytest.raises(LogUnreadable):
        find_published("127.0.0.1:1", [replace(row, topic="recreated-just-now")])


def test_nothing_is_published_while_the_log_cannot_be_read(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher, looks = Ledger(), Looks()
    relay = relay_of(book, publisher, find_published=looks)
    book.write("a", 2)
    looks.blind = True
    with leading(book) as (connection, epoch):
        for _ in range(3):
            assert relay.publish_once(connection, epoch) == 0
        assert publisher.log == []
        looks.blind = False
        assert relay.publish_once(connection, epoch) == 2
        assert looks.asked == [2, 2, 2, 2]
        publisher.failures = [0]
        book.write("a")
        assert relay.publish_once(connection, epoch) == 0
        looks.blind = True
        assert relay.publish_once(connection, epoch) == 0
        monkeypatch.setattr("sagakit.outbox.relay.LOOK_FOR_S", 0.0)
        assert relay.publish_once(connection, epoch) == 1, "in vain for too long"


class Looks:
    """Counts how often it is asked; says of nothing that it stands."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.blind = False

    def __call__(self, rows: Sequence[OutboxRow]) -> AppendTimes:
        self.asked.append(len(rows))
        if self.blind:
            raise LogUnreadable("no broker")
        return {}


def test_published_rows_are_looked_up_only_at_the_start_and_after_a_failure(book: Book) -> None:
    publisher, looks = Ledger(), Looks()
    relay = relay_of(book, publisher, find_published=looks)
    with leading(book) as (connection, epoch):
        for key in ("a", "b"):
            book.write(key)
            assert relay.publish_once(connection, epoch)
        assert looks.asked == [1]
        publisher.failures = [0]
        book.write("a", 2)
        assert not relay.publish_once(connection, epoch)
        assert looks.asked == [1]
        assert relay.publish_once(connection, epoch)
        book.write("b")
        assert relay.publish_once(connection, epoch)
    assert looks.asked == [1, 2]
    with closing(book.engine.connect()), leading(book) as (connection, epoch):
        assert not relay_of(book, publisher, find_published=looks).publish_once(connection, epoch)
    assert looks.asked == [1, 2], "an empty outbox asks nobody"
