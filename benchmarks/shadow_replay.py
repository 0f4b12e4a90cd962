"""Measures a replay into a shadow beside a plain read of the same topics, in one run.

`python -m benchmarks.shadow_replay [--events N] [--workers N] [--json FILE]` prints events a second
of both, their ratio, and the largest memory of the replay, early and late in the log.
"""

import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import click
import orjson
from confluent_kafka import Consumer, TopicPartition

import saga_monitor.storage
from benchmarks.sync_parts import migrated_engine
from benchmarks.testbed import start_testbed
from saga_monitor.replay.bounds import Earliest, Now
from saga_monitor.replay.pipeline import MonitorAccess
from saga_monitor.replay.source import ReplayPlan, plan_of
from saga_monitor.replay.target import Shadow
from saga_monitor.replay.workers import ReplayProgress, ReplayRequest, replay
from sagakit.kafka.inspector import LogEnds
from sagakit.kafka.publisher import Publisher
from sagakit.messages.codec import Codec
from sagakit.messages.envelope import Envelope, OutboxRow, Trace
from schemas import CONTRACT
from schemas.events import (
    InventoryReserved,
    InventoryShipped,
    OrderFacts,
    OrderLine,
    OrderPlaced,
    PaymentCaptured,
    ShipmentCreated,
    ShipmentPickedUp,
    ShippedMailSent,
    StockLine,
)

AT_ONCE = 7_000
FACTS = OrderFacts(
    customer_id="c-1",
    email="a@example.org",
    currency="EUR",
    total_minor=500,
    lines=(OrderLine(sku="sku-1", quantity=1, unit_price_minor=500),),
    card_token="tok_ok",
    ship_to="Some street 1",
)


@dataclass
class Measured:
    """Figures of a run. memory_mb: largest, in the first and in the second half of the log."""

    events: int
    bytes: int
    plain_a_second: float
    replay_a_second: float
    workers: int
    memory_mb: dict[str, float] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        """Return what a worker reaches of the plain read, which takes one core too."""
        return self.replay_a_second / self.workers / self.plain_a_second


def events_of(order_id: str) -> Sequence[Any]:
    """Return the events of an order that goes well."""
    label: dict[str, Any] = {"order": FACTS, "label_id": "lb-1", "tracking": "TRK1"}
    charge: dict[str, Any] = {"charge_id": "ch-1", "amount_minor": 500, "currency": "EUR"}
    return (
        OrderPlaced(order_id=order_id, order=FACTS, placed_at=datetime.now(UTC)),
        InventoryReserved(order_id=order_id, order=FACTS),
        PaymentCaptured(order_id=order_id, order=FACTS, **charge),
        ShipmentCreated(order_id=order_id, **label),
        ShipmentPickedUp(order_id=order_id, **label),
        InventoryShipped(order_id=order_id, lines=(StockLine(sku="sku-1", quantity=1),)),
        ShippedMailSent(order_id=order_id, to="a@example.org"),
    )


def rows(codec: Codec) -> Iterator[OutboxRow]:
    """Yield records of ever new orders."""
    number = 0
    while True:
        number += 1
        cause, counts = None, dict[str, int]()
        for event in events_of(f"replay-{number:08d}"):
            counts[event.owner] = counts.get(event.owner, 0) + 1
            id_, at = uuid.uuid4(), datetime.now(UTC)
            key, trace = f"order/{event.order_id}", Trace("order/1")
            seq = counts[event.owner]
            yield codec.encode(Envelope(id_, key, event.owner, seq, at, event, cause, trace))
            cause = id_


def fill(servers: str, events: int) -> None:
    """Publish events."""
    publisher, source = Publisher(servers, "fill"), rows(Codec(CONTRACT))
    for _ in range(0, events, AT_ONCE):
        batch = [
            OutboxRow(r.topic, r.key, r.headers, r.value, n)
            for n, r in enumerate(islice(source, AT_ONCE), 1)
        ]
        publisher.publish(batch)


def read_plainly(servers: str, plan: ReplayPlan) -> tuple[float, int]:
    """Read all of it by confluent-kafka in batches; return seconds, and bytes of records."""
    settings = {"bootstrap.servers": servers, "group.id": "plain", "enable.auto.commit": False}
    consumer = Consumer(settings)
    consumer.assign([TopicPartition(*place, span.start) for place, span in plan.spans.items()])
    began_s, records, size = time.perf_counter(), 0, 0
    while records < plan.offsets:
        for message in consumer.consume(1000, 1.0):
            records += 1
            size += len(message.value() or b"") + len(message.key() or b"")
    took_s = time.perf_counter() - began_s
    consumer.close()
    return took_s, size


def measure(servers: str, database_url: str, workers: int) -> Measured:
    """Read plainly, then replay."""
    access = MonitorAccess(servers, database_url, ("schemas",))
    plan = plan_of(LogEnds(servers), CONTRACT.topics, Earliest(), Now())
    plain_s, size = read_plainly(servers, plan)
    memory: dict[str, float] = {}

    def note(progress: ReplayProgress) -> None:
        half = "first half" if progress.left > plan.offsets / 2 else "second half"
        memory[half] = max(memory.get(half, 0.0), progress.memory_bytes / 1e6)

    shadow = Shadow(database_url, "benchmark")
    done = replay(access, shadow, ReplayRequest(), plan, workers=workers, note=note)
    return Measured(
        done.done.events,
        size,
        done.done.records / plain_s,
        done.done.records / done.elapsed_s,
        workers,
        memory,
    )


@click.command()
@click.option("--events", default=1_000_000, show_default=True, help="Events in the log.")
@click.option("--workers", default=1, show_default=True, help="Processes that fold.")
@click.option("--json", "path", type=click.Path(path_type=Path), help="Write the figures here.")
def main(events: int, workers: int, path: Path | None) -> None:
    """Measure a replay into a shadow beside a plain read."""
    with start_testbed() as testbed:
        fill(testbed.bootstrap_servers, events)
        url = testbed.database("monitor")
        migrated_engine(url, saga_monitor.storage).dispose()
        found = measure(testbed.bootstrap_servers, url, workers)
    click.echo(
        f"{found.events:,} events, {found.bytes / 1e6:,.0f} MB: plain read "
        f"{found.plain_a_second:,.0f}/s, replay {found.replay_a_second:,.0f}/s with "
        f"{found.workers} workers, {found.ratio:.3f} of the plain read a worker; memory MB "
        f"{ {half: round(mb) for half, mb in found.memory_mb.items()} }"
    )
    if path is not None:
        path.write_bytes(orjson.dumps({**asdict(found), "ratio": found.ratio}))


if __name__ == "__main__":
    main()
