"""A recreated topic is filled again from the outbox: each order's events in order, each once."""

import pytest
from sqlalchemy import text

from sagakit.messages.envelope import LOGGED_AT
from sagakit.outbox.relay import LostLeadership
from sagakit.outbox.republish import RelayLock, RelayRunning
from sagakit.store.packed_headers import unpack_headers
from tests.kafka import read
from tests.outbox_rows import (
    EPOCH,
    LEADERS,
    LOGGED_MS,
    Book,
    Ledger,
    leading,
    relay_of,
    running,
)
from tests.stack import TestInfra, until


def publish_all(book: Book, publisher: Ledger) -> None:
    with leading(book) as (connection, epoch):
        while relay_of(book, publisher).publish_once(connection, epoch):
            pass


def republish(book: Book, topic: str) -> int:
    outbox = RelayLock(book.engine)
    try:
        return outbox.republish(topic)
    finally:
        outbox.close()


def test_republished_rows_come_before_new_rows_and_from_one_topic_only(book: Book) -> None:
    first, second = Ledger(), Ledger()
    book.write("a", 2)
    book.write("b")
    publish_all(book, first)
    book.write("a")
    assert republish(book, "another") == 0
    assert republish(book, book.topic) == 3
    assert republish(book, book.topic) == 0, "they wait already"
    publish_all(book, second)
    assert first.log == [("a", "1"), ("a", "2"), ("b", "1")]
    assert second.log == [*first.log, ("a", "3")]
    assert book.sent() == second.log
    book.write("a")
    assert book.waiting() == [("a", "4")], "new ids do not meet the old ones"


def headers(book: Book, key: str) -> list[tuple[str, bytes]]:
    packed = book.scalar("SELECT headers FROM outbox WHERE key = :k", k=key)
    return list(unpack_headers(packed))


def test_a_republished_row_carries_the_time_of_its_first_publication(book: Book) -> None:
    book.write("a")
    book.write("b")
    publish_all(book, Ledger())
    book.scalar("UPDATE outbox_sent SET headers = '[]' WHERE key = 'b' RETURNING id")
    number = book.scalar("SELECT id FROM outbox_sent WHERE key = 'a'")
    first = (LOGGED_AT, str(LOGGED_MS + number).encode())
    assert republish(book, book.topic) == 2
    assert headers(book, "a") == [*book.row("a", "1").headers, first]
    assert [name for name, _ in headers(book, "b")] == [LOGGED_AT]
    publish_all(book, Ledger(later_ms=1000))
    assert republish(book, book.topic) == 2
    assert headers(book, "a") == [*book.row("a", "1").headers, first], "not when it was the second"


def test_a_row_published_at_an_unknown_time_is_republished_unchanged(book: Book) -> None:
    """Rows of before there was the column, or of a topic without LogAppendTime."""
    book.write("a")
    publish_all(book, Ledger())
    book.scalar("UPDATE outbox_sent SET logged_ms = NULL RETURNING id")
    assert republish(book, book.topic) == 1
    assert headers(book, "a") == list(book.row("a", "1").headers)


def test_the_brokers_time_is_kept_and_comes_back_in_the_log(infra: TestInfra, book: Book) -> None:
    def published() -> dict[bytes | None, tuple[int, dict[str, bytes]]]:
        with running(infra, book, 1):
            until(book.empty, "published")
        log = read(infra.bootstrap_servers, book.topic)
        return {r.value: (r.timestamp_ms, dict(r.headers)) for r in log}

    book.write("a", 3)
    first = {value: at_ms for value, (at_ms, _) in published().items()}
    kept = "SELECT logged_ms FROM outbox_sent ORDER BY id"
    with book.engine.connect() as connection:
        assert list(connection.execute(text(kept)).scalars()) == list(first.values())
    assert republish(book, book.topic) == 3
    again = {value: int(found[LOGGED_AT]) for value, (_, found) in published().items()}
    assert again == first


def test_while_a_relay_leads_nothing_is_republished(infra: TestInfra, book: Book) -> None:
    with running(infra, book, 1) as (relay,):
        book.write("a")
        until(lambda: relay.leading and book.empty(), "published")
        with pytest.raises(RelayRunning, match="stop every replica"):
            republish(book, book.topic)
        assert book.sent() == [("a", "1")]
    gone = f"SELECT count(*) = 0 FROM ({LEADERS}) AS leaders"
    until(lambda: book.scalar(gone), "the server has heard that the relay is gone")
    assert republish(book, book.topic) == 1


def test_no_relay_leads_while_its_outbox_is_locked(infra: TestInfra, book: Book) -> None:
    book.write("a")
    outbox = RelayLock(book.engine)
    with running(infra, book, 1) as (relay,):
        book.write("b")
        assert not relay.leading
        assert len(book.waiting()) == 2
        outbox.close()
        until(book.empty, "published once it is let go")


def test_a_relay_that_loses_its_lock_while_it_publishes_removes_nothing(book: Book) -> None:
    book.write("a")
    with leading(book) as (connection, epoch):
        RelayLock(book.engine).close()
        assert book.scalar(EPOCH) == epoch + 1
        with pytest.raises(LostLeadership):
            relay_of(book, Ledger()).publish_once(connection, epoch)
    assert book.waiting() == [("a", "1")]
