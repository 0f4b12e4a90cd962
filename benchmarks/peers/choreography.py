"""Runs the choreographies among the peers: one process per service, joined by topics, no monitor.

They do not fold their events. A consumer of the benchmark, which is not counted, reads when each
order was placed and when it ended, in log-append time.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import orjson
from confluent_kafka import Consumer, KafkaException, TopicPartition

from benchmarks.figures import Figures, quantiles_ms
from benchmarks.orders import due
from benchmarks.peers.apps.steps import ENDS, PLACED
from benchmarks.peers.books import Books
from benchmarks.peers.environment import python
from benchmarks.site import Meter, Site, servers
from saga_lab.devstack.topics import DEFAULT_PARTITIONS
from saga_lab.workload import ShopOrder
from sagakit.kafka.publisher import Publisher
from sagakit.messages.envelope import OutboxRow

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

    @contextmanager
    def deployed(self) -> Iterator["Running"]:
        """See `Contender`."""
        interpreter = str(python())
        with servers() as site:
            books = Books({name: site.database(name) for name in SERVICES})
            books.create()
            probes = {
                name: site.start(
                    name,
                    (interpreter, "-m", f"benchmarks.peers.apps.{self.program}", name),
                    {
                        "BENCH_KAFKA": site.bootstrap_servers,
                        "BENCH_DATABASE": site.database(name),
                    },
                )
                for name in SERVICES
            }
            site.wait(probes)
            yield Running(site, books)


class Running:
    """The running services of a choreography."""

    def __init__(self, site: Site, books: Books) -> None:
        self._site, self._books = site, books
        self._publisher = Publisher(site.bootstrap_servers, "bench")

    def place(self, orders: Sequence[ShopOrder], rate: float | None = None) -> Figures:
        """See `Deployment`."""
        self._books.stock(orders)
        rows = [_row(order, number) for number, order in enumerate(orders)]
        with Onlooker(self._site) as onlooker:
            meter = Meter(self._site)
            begun = time.perf_counter()
            if rate is None:
                self._publisher.publish(rows)
            else:
                for part in due(len(rows), rate):
                    self._publisher.publish(rows[part])
            latencies_s = onlooker.latencies_s({order.order_id for order in orders})
        seconds = time.perf_counter() - begun
        cpu, memory = meter.read(len(orders))
        p50_ms, p99_ms = quantiles_ms(latencies_s)
        ends = self._books.ends(orders)
        return Figures(len(orders), seconds, p50_ms, p99_ms, cpu, memory, ends)


class Onlooker:
    """Reads the records appended since it was created."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._consumer = Consumer(
            {
                "bootstrap.servers": site.bootstrap_servers,
                "group.id": "bench",
                "enable.auto.commit": False,
            }
        )
        here = [TopicPartition(t, p) for t in READ for p in range(DEFAULT_PARTITIONS)]
        for one in here:
            _, one.offset = self._consumer.get_watermark_offsets(one)
        self._consumer.assign(here)

    def __enter__(self) -> "Onlooker":
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
                self._site.check_alive()
                raise TimeoutError(f"{len(ended)} of {len(wanted)} ended, none for {STALL_S} s")
        return [(ended[order_id] - placed[order_id]) / 1000 for order_id in wanted]


def as_json(order: ShopOrder) -> dict[str, object]:
    """Return an order as the peers' programs read it."""
    return {"order_id": order.order_id, **order.facts.to_dict()}


def _row(order: ShopOrder, number: int) -> OutboxRow:
    body = orjson.dumps({"type": PLACED, "order": as_json(order)})
    headers = (("content-type", b"application/json"),)
    return OutboxRow("order.events", order.order_id, headers, body, number)
