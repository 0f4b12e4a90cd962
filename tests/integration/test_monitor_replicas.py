"""Several monitors: replicas that come and go write the very rows that one alone would, and no two
monitors ask for different things."""

import signal
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest

from saga_monitor.saga.facts import emission_id
from schemas.events import InventoryReleased, PaymentDeclined, ShipmentCancelled
from tests.kafka import read
from tests.monitor import (
    CODEC,
    UNITS,
    EventPublisher,
    MonitorProcess,
    keys_of,
    known_rows,
    monitor,
    placed,
    reserved,
    whole,
)
from tests.stack import TestInfra, fresh_database, until

SHORT = '{"payment": "2s", "shipping": "2s"}'
CHUNK = 60


def order_ids(count: int) -> list[str]:
    tag = uuid.uuid4().hex[:8]
    return [f"r-{tag}-{n:04d}" for n in range(count)]


def counted(database_url: str, orders: Sequence[str]) -> dict[str, int]:
    """How many of these orders are in which status."""
    query = "SELECT status, count(*) FROM saga WHERE saga = ANY(%s) GROUP BY 1"
    with psycopg.connect(database_url) as connection:
        return dict(connection.execute(query, [keys_of(orders)]).fetchall())


def asked(database_url: str, orders: Sequence[str]) -> set[str]:
    """Which of these orders were asked to be undone."""
    query = (
        "SELECT DISTINCT saga FROM timeline WHERE type = 'CompensationRequested' AND saga = ANY(%s)"
    )
    with psycopg.connect(database_url) as connection:
        return {
            saga.removeprefix("order/") for (saga,) in connection.execute(query, [keys_of(orders)])
        }


class Group:
    """Replicas of one monitor: one database, one consumer group."""

    def __init__(self, infra: TestInfra, database_url: str, log: Path, size: int) -> None:
        self.database_url = database_url
        self._open = ExitStack()
        group = f"saga-monitor-{uuid.uuid4().hex[:8]}"
        options = {"group": group, "deadlines": SHORT}
        self.replicas: list[MonitorProcess] = [
            self._open.enter_context(
                monitor(infra, database_url, log / f"{n}.log", name=f"monitor-{n}", **options)
            )
            for n in range(1, size + 1)
        ]

    def close(self) -> None:
        """End them all."""
        self._open.close()

    def turmoil(self) -> Iterator[str]:
        """One blow after the other, so that the partitions change hands again and again."""
        first, *others = self.replicas
        first.start()
        yield "one alone"
        for other in others:
            other.start()
            yield "one more comes"
        first.kill()
        yield "one is killed"
        first.start()
        yield "and comes back"
        others[0].signal(signal.SIGSTOP)
        yield "one stands still"
        others[0].signal(signal.SIGCONT)
        yield "and goes on"
        others[-1].signal(signal.SIGTERM)
        assert others[-1].exit_status() == 0
        yield "one leaves in good order"
        others[-1].start()
        yield "and comes back"


@pytest.mark.parametrize("size", [2, 3])
def test_replicas_that_come_and_go_write_what_one_alone_would(
    publisher: EventPublisher,
    infra: TestInfra,
    database_url: str,
    tmp_path: Path,
    size: int,
    tell: Callable[[str], None],
) -> None:
    group = Group(infra, database_url, tmp_path, size)
    healthy: list[str] = []
    overdue: list[str] = []

    def half_is_read() -> bool:
        return counted(database_url, healthy).get("completed", 0) >= len(healthy) // 2

    try:
        for _ in group.turmoil():
            chunk, stuck = order_ids(CHUNK), order_ids(CHUNK // 10)
            publisher.publish_events(
                *(e for order in stuck for e in (placed(order), reserved(order)))
            )
            publisher.publish_events(*(e for order in chunk for e in whole(order)))
            healthy += chunk
            overdue += stuck
            until(half_is_read, "half of what was said is read")
        until(lambda: asked(database_url, overdue) == set(overdue), "all are asked")
        for order in overdue:
            publisher.publish_events(ShipmentCancelled(order_id=order, reason="asked"))
            publisher.publish_events(PaymentDeclined(order_id=order, code="fenced", reason="asked"))
            publisher.publish_events(InventoryReleased(order_id=order, lines=UNITS, reason="asked"))
        everyone = [*healthy, *overdue]
        expected = {"completed": len(healthy), "cancelled": len(overdue)}
        until(lambda: counted(database_url, everyone) == expected, "all have ended")
        assert asked(database_url, healthy) == set()
    finally:
        group.close()
    alone = Group(infra, fresh_database(infra), tmp_path / "alone", 1)
    (tmp_path / "alone").mkdir()
    try:
        alone.replicas[0].start()
        theirs = known_rows(database_url, everyone)
        until(
            lambda: len(known_rows(alone.database_url, everyone)[1]) >= len(theirs[1]),
            "one monitor alone has read the same",
        )
        assert known_rows(alone.database_url, everyone) == theirs
    finally:
        alone.close()
    sagas, _, timeline, _ = theirs
    tell(f"{size} replicas: {len(sagas)} sagas, {len(timeline)} events, the same as one alone")


def test_two_monitors_never_ask_for_different_things(
    publisher: EventPublisher, infra: TestInfra, database_url: str, tmp_path: Path
) -> None:
    """Each has a database of its own, so neither knows that the other asks as well."""
    logs = [tmp_path / "a", tmp_path / "b"]
    groups = []
    overdue = order_ids(50)
    try:
        for log, database in zip(logs, (database_url, fresh_database(infra)), strict=True):
            log.mkdir()
            groups.append(Group(infra, database, log, 1))
            groups[-1].replicas[0].start()
        publisher.publish_events(
            *(e for order in overdue for e in (placed(order), reserved(order)))
        )
        for group in groups:
            until(
                lambda url=group.database_url: asked(url, overdue) == set(overdue),  # type: ignore[misc]
                "all are asked",
            )
    finally:
        for group in groups:
            group.close()
    sagas = set(keys_of(overdue))
    emitted: dict[tuple[str, str, int], list[tuple[Any, Any]]] = defaultdict(list)
    for record in read(infra.bootstrap_servers, "saga.events"):
        if (record.key or b"").decode() not in overdue:
            continue  # of another test, perhaps of another contract
        envelope = CODEC.decode(record)
        if envelope.key in sagas and envelope.event.type == "CompensationRequested":
            place = (envelope.key, envelope.event.step, envelope.event.attempt)
            emitted[place].append((envelope.id, envelope.event))
    assert {saga for saga, _, _ in emitted} == sagas
    for (saga, step, attempt), those in emitted.items():
        assert {id_ for id_, _ in those} == {emission_id(saga, "deadline", step, attempt)}
        assert len({event for _, event in those}) == 1, those
        assert attempt == 1 or (saga, step, attempt - 1) in emitted
    assert {key[1:] for key in emitted} >= {("payment", 1)}
    assert all((saga, "payment", 2) not in emitted for saga in sagas), "the turn is shipping's"
