"""A foreign publisher writes in transactions: a real monitor believes what was committed, judges
nothing that an open transaction hides, and goes on by itself."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from saga_monitor.ingest.watermark import murmur2
from sagakit.kafka.inspector import LogEnds
from tests.kafka import TransactionalProducer
from tests.monitor import EventPublisher, MonitorProcess, monitor, placed, reserved, whole
from tests.stack import TestInfra, until

SHORT = '{"inventory": "2s"}'
PARTITIONS = 6


def order_on(partition: int) -> str:
    """The id of a new order whose events are on this partition."""
    while True:
        order = f"tx-{uuid.uuid4().hex[:8]}"
        if murmur2(order.encode()) % PARTITIONS == partition:
            return order


def compensated(process: MonitorProcess, order: str) -> bool:
    return "CompensationRequested" in process.types(order)


@pytest.fixture
def watching(
    infra: TestInfra, database_url: str, group: str, tmp_path: Path
) -> Iterator[MonitorProcess]:
    """A monitor that waits two seconds for stock."""
    log = tmp_path / "monitor.log"
    with monitor(infra, database_url, log, group=group, deadlines=SHORT) as process:
        yield process.start()
        assert process.runs(), log.read_text()


@pytest.fixture
def foreign(infra: TestInfra) -> TransactionalProducer:
    return TransactionalProducer(infra.bootstrap_servers, f"foreign-{uuid.uuid4().hex[:8]}")


def test_nothing_is_judged_behind_an_open_transaction(
    watching: MonitorProcess, publisher: EventPublisher, foreign: TransactionalProducer
) -> None:
    # Given an order whose answer lies behind a transaction that somebody has open
    hidden, other, elsewhere = order_on(0), order_on(0), order_on(1)
    foreign.begin(*publisher.rows(reserved(other)))
    publisher.publish_events(*whole(hidden))
    until(lambda: "PaymentCaptured" in watching.types(hidden), "its other events are read")
    assert "InventoryReserved" not in watching.types(hidden)
    # When its deadline has passed, as that of an order on another partition has
    publisher.publish_events(placed(elsewhere))
    until(lambda: compensated(watching, elsewhere), "deadlines are judged")
    # Then nothing is said of it, and nothing of the transaction is known
    assert not compensated(watching, hidden)
    assert watching.types(other) == []
    # And all goes on after the commit
    foreign.commit()
    until(lambda: watching.status(hidden) == "completed", "its answer is read")
    until(lambda: watching.types(other) == ["InventoryReserved"], "the transaction is read")
    assert not compensated(watching, hidden)


def test_a_deadline_behind_a_committed_transaction_is_judged_though_nothing_follows(
    watching: MonitorProcess,
    publisher: EventPublisher,
    foreign: TransactionalProducer,
    infra: TestInfra,
    database_url: str,
) -> None:
    order = order_on(2)
    foreign.begin(*publisher.rows(placed(order)))
    foreign.commit()
    until(lambda: compensated(watching, order), "it is overdue")
    topics = ["order.events", "saga.events"]
    ends = LogEnds(infra.bootstrap_servers).ends(topics)
    with psycopg.connect(database_url) as connection:
        query = 'SELECT topic, partition, "offset" FROM stream_offset WHERE topic = ANY(%s)'
        stored = {(t, p): end for t, p, end in connection.execute(query, [topics])}
    assert stored == {place: end for place, end in ends.items() if end}


def test_an_aborted_order_is_never_heard_of_and_its_id_is_free(
    watching: MonitorProcess, publisher: EventPublisher, foreign: TransactionalProducer
) -> None:
    order, marker = order_on(3), order_on(3)
    aborted = publisher.rows(placed(order))
    foreign.begin(*aborted)
    foreign.abort()
    publisher.publish_events(placed(marker))
    until(lambda: compensated(watching, marker), "what follows is read and judged")
    assert watching.status(order) is None
    publisher.publish([*aborted, *publisher.rows(reserved(order))])
    until(lambda: "InventoryReserved" in watching.types(order), "the second try counts")
    assert not compensated(watching, order)


def test_deadlines_are_judged_though_some_transaction_is_always_open(
    watching: MonitorProcess,
    publisher: EventPublisher,
    foreign: TransactionalProducer,
    infra: TestInfra,
) -> None:
    another = TransactionalProducer(infra.bootstrap_servers, f"another-{uuid.uuid4().hex[:8]}")
    order, theirs = order_on(4), order_on(4)
    current, following = foreign, another
    current.begin(*publisher.rows(reserved(theirs)))
    publisher.publish_events(placed(order))

    def overdue_while_one_is_open() -> bool:
        nonlocal current, following
        following.begin(*publisher.rows(reserved(order_on(4))))
        current.commit()
        current, following = following, current
        return compensated(watching, order)

    until(overdue_while_one_is_open, "it is overdue")
    current.abort()
    until(lambda: watching.types(theirs) == ["InventoryReserved"], "what was committed is read")


def test_records_behind_an_open_transaction_are_counted_apart(
    watching: MonitorProcess, publisher: EventPublisher, foreign: TransactionalProducer
) -> None:
    foreign.begin(*publisher.rows(*whole(order_on(5))))
    until(lambda: watching.metric("saga_behind_open_transactions") == 7, "all are behind it")
    until(lambda: watching.metric("saga_unread") == 0, "all that can be read is read")
    foreign.abort()
    until(lambda: watching.metric("saga_behind_open_transactions") == 0, "it has ended")
