"""Runs the choreographies among the peers: one process per service, no monitor.

They do not fold their events. A consumer of the benchmark reads when each order was placed and when
it ended, in log-append time. Its CPU does not count.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import orjson
from confluent_kafka import Consumer, KafkaException, TopicPartition

from benchmarks.figures import Figures, quantiles_ms
from benchmarks.orders import publish
from benchmarks.peers.apps.steps import ENDS, PLACED
from benchmarks.peers.environment import python
from benchmarks.peers.tables import PeerTables
from benchmarks.testbed import Meter, Testbed, start_testbed
from saga_lab.devstack.topics import DEFAULT_PARTITIONS
from sagakit.kafka.publisher import Publisher
from sagakit.messages.envelope import OutboxRow
from shop.workload import ShopOrder

SERVICES = ("inventory", "payment", "shipping", "notification")
READ = ("order.events", "inventory.events", "notification.events")
STALL_S = 60.0
POLL_S = 0.2
BATCH = 500


@dataclass(frozen=True)
class Choreography:
    """A contender. `program`: the module in `apps` that runs a service."""

    name: str
    program: str
    orders: int
    rates: Sequence[int] = (1, 10, 50, 100)

    @contextmanager
    def deploy(self) -> Iterator["ChoreographyDeployment"]:
        """See `Contender`."""
        with start_testbed() as testbed:
            tables = PeerTables({name: testbed.database(name) for name in SERVICES})
            tables.create()
            start_services(testbed, self.program, SERVICES, {})
            yield ChoreographyDeployment(testbed, tables)


def start_services(
    testbed: Testbed, program: str, names: Sequence[str], env: Mapping[str, str]
) -> None:
    """Start the services of a program, and wait until all are ready. `env`: what all of them get.

    A service that takes requests listens on its `Testbed.port`.
    """
    interpreter = str(python())
    probes = {
        name: testbed.start(
            name,
            (interpreter, "-m", f"benchmarks.peers.apps.{program}", name),
            {
                "BENCH_KAFKA": testbed.kafka_for(name),
                "BENCH_DATABASE": testbed.database_for(name),
                "BENCH_PORT": str(testbed.port(name)),
                **env,
            },
        )
        for name in names
    }
    testbed.wait(probes)


class ChoreographyDeployment:
    """The running services of a choreography."""

    def __init__(self, testbed: Testbed, tables: PeerTables) -> None:
        self.testbed, self._tables = testbed, tables
        self._publisher = Publisher(testbed.bootstrap_servers, "bench")

    def place(self, orders: Sequence[ShopOrder], rate: float | None = None) -> Figures:
        """See `Deployment`."""
        self._tables.stock(orders)
        rows = [_row(order, number) for number, order in enumerate(orders)]
        with LatencyReader(self.testbed) as reader:
            meter = Meter(self.testbed)
            begun = time.perf_counter()
            publish(self._publisher, rows, rate)
            latencies_s = reader.latencies_s({order.order_id for order in orders})
        seconds = time.perf_counter() - begun
        cpu, memory = meter.read(len(orders))
        p50_ms, p99_ms = quantiles_ms(latencies_s)
        ends = self._tables.ends(orders)
        return Figures(len(orders), seconds, p50_ms, p99_ms, cpu, memory, ends)


class LatencyReader:
    """Reads latencies from the records that are appended after its creation."""

    def __init__(self, testbed: Testbed) -> None:
        self._testbed = testbed
        self._consumer = Consumer(
            {
                "bootstrap.servers": testbed.bootstrap_servers,
                "group.id": "bench",
                "enable.auto.commit": False,
            }
        )
        here = [TopicPartition(t, p) for t in READ for p in range(DEFAULT_PARTITIONS)]
        for one in here:
            _, one.offset = self._consumer.get_watermark_offsets(one)
        self._consumer.assign(here)

    def __enter__(self) -> "LatencyReader":
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def latencies_s(self, wanted: set[str]) -> list[float]:
        """Return the seconds from each order's append to that of its end, once all have ended.

        Raises TimeoutError if none of them is placed or ends for `STALL_S`.
        """
        placed: dict[str, int] = {}
        ended: dict[str, int] = {}
        at = time.monotonic()
        while len(ended) < len(wanted):
            for message in self._consumer.consume(BATCH, POLL_S):
                if (error := message.error()) is not None:
                    raise KafkaException(error)
                event = orjson.loads(message.value() or b"")
                order_id = event["order"]["order_id"]
                times = placed if event["type"] == PLACED else ended
                if order_id in wanted and event["type"] in (PLACED, *ENDS):
                    times.setdefault(order_id, message.timestamp()[1])
                    at = time.monotonic()
            if time.monotonic() - at > STALL_S:
                self._testbed.check_alive()
                raise TimeoutError(f"{len(ended)} of {len(wanted)} ended, none for {STALL_S} s")
        return [(ended[order_id] - placed[order_id]) / 1000 for order_id in wanted]


def as_json(order: ShopOrder) -> dict[str, object]:
    """Return an order as the peers' programs read it."""
    return {"order_id": order.order_id, **order.facts.to_dict()}


def _row(order: ShopOrder, number: int) -> OutboxRow:
    body = orjson.dumps({"type": PLACED, "order": as_json(order)})
    headers = (("content-type", b"application/json"),)
    return OutboxRow("order.events", order.order_id, headers, body, number)
