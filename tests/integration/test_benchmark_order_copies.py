"""Orders copied by the database: every row of the template, under an id of its own, as old as it is
said to be."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

import saga_monitor.storage
import services.payment
from benchmarks.scaling import order_copies
from benchmarks.scaling.order_copies import Copies, fill
from benchmarks.testbed import Testbed as BenchTestbed
from sagakit.messages.envelope import AppendTimes, OutboxRow
from sagakit.outbox.relay import NEW_EPOCH, Relay
from sagakit.store.migrate import migrate
from sagakit.store.postgres import add_outbox, engine_for
from tests.stack import TestInfra, fresh_database

MIGRATED = {"payment": services.payment, "monitor": saga_monitor.storage}
COUNT = 7
TEMPLATES = {
    "payment": [
        "insert into inbox (key) values ('order/t-1'), ('order/t-2')",
        "insert into payment "
        "(saga, phase, order_ref, reason, charges, refunds, failed, disputes) "
        "values ('order/t-1', 'captured', 'a', '', '[]', '[]', '[]', '{}'), "
        "('order/t-2', 'captured', 'b', '', '[]', '[]', '[]', '{}')",
    ],
    "monitor": [
        "insert into saga (saga, status, partition, next_deadline, updated_at) "
        "values ('order/t-1', 'waiting', 1, now(), now()), "
        "('order/t-2', 'waiting', 2, now(), now())",
        "insert into timeline select o, e, 'OrderPlaced', 's', 1, now(), null, 1, 1, '{}' "
        "from unnest(array['order/t-1', 'order/t-2']) o, unnest(array['e-1', 'e-2', 'e-3']) e",
    ],
}


class Everything:
    """A publisher that has published."""

    def publish(self, rows: Sequence[OutboxRow]) -> AppendTimes:
        """See `relay.OutboxPublisher`."""
        return dict.fromkeys((row.id for row in rows), 0)

    def discard(self) -> None:
        """See `relay.OutboxPublisher`."""


@pytest.fixture
def testbed(infra: TestInfra, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BenchTestbed:
    """Two databases with two orders, and an event of each published."""
    monkeypatch.setattr(
        order_copies, "TABLES", {name: order_copies.TABLES[name] for name in MIGRATED}
    )
    urls = {name: fresh_database(infra) for name in MIGRATED}
    for name, package in MIGRATED.items():
        engine = engine_for(urls[name])
        migrate(engine, Path(str(package.__file__)).parent / "migrations")
        with engine.begin() as connection:
            for statement in TEMPLATES[name]:
                connection.execute(text(statement))
            add_outbox(
                connection, [OutboxRow("payment.events", k, (), b"x") for k in ("t-1", "t-2")]
            )
        with engine.connect() as leading:
            epoch = leading.execute(NEW_EPOCH).scalar_one()
            Relay(engine, Everything(), lambda: datetime.now(UTC)).publish_once(leading, epoch)
            leading.commit()
        engine.dispose()
    return BenchTestbed(tmp_path, {"databases": urls, "processes": {}})


def rows(testbed: BenchTestbed, database: str, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(testbed.database(database)) as connection:
        return connection.execute(query).fetchall()


def test_copies_in_flight_have_all_rows_of_their_template(testbed: BenchTestbed) -> None:
    made = fill(testbed, Copies(["t-1", "t-2"], COUNT, "copy-"))

    assert made["payment"] == {"inbox": COUNT, "payment": COUNT, "outbox_sent": COUNT}
    assert made["monitor"] == {"saga": COUNT, "timeline": 3 * COUNT}
    found = rows(testbed, "payment", "select saga, order_ref from payment where saga ~ 'copy'")
    assert sorted(found) == [(f"order/copy-{n:08d}", "ab"[n % 2]) for n in range(COUNT)]
    due = "select count(distinct next_deadline) from saga where saga ~ 'copy'"
    assert rows(testbed, "monitor", due) == [(COUNT,)]
    (days,) = rows(testbed, "payment", "select count(distinct sent_at::date) from outbox_sent")
    assert days == (COUNT + 1,)


def test_copies_of_the_history_are_in_it_alone_and_old(testbed: BenchTestbed) -> None:
    made = fill(testbed, Copies(["t-1", "t-2"], COUNT, "copy-", history=True))

    assert made["monitor"] == {"saga_history": COUNT, "timeline_history": 3 * COUNT}
    assert rows(testbed, "monitor", "select count(*) from saga") == [(2,)]
    old = "select count(*) from saga_history where updated_at < now() - interval '59 days'"
    assert rows(testbed, "monitor", old) == [(COUNT,)]
