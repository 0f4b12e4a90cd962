"""Runs the order saga on this platform: real Kafka and PostgreSQL, the services and the monitor.

Each service is a process of its own. In-memory gateways replace the outside providers, and nothing
else (see `benchmarks.instant_service`). An order has ended when the monitor has folded its end.
"""

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid5

import httpx2
import psycopg

from benchmarks.figures import Figures, WrongEnds, quantiles_ms
from benchmarks.orders import kinds_of, publish, run_of
from benchmarks.testbed import Meter, Testbed, start_testbed
from saga_lab.devstack.readiness import http_ready
from saga_lab.workload import End, key_of
from sagakit.kafka.publisher import Publisher
from sagakit.messages.codec import Codec
from sagakit.messages.envelope import NAMESPACE, OutboxRow
from schemas import CONTRACT
from schemas.events import OrderPlaced
from shop.workload import ShopOrder
from shop.workload.orders import stock_for

SERVICES = ("inventory", "payment", "shipping", "notification")
ENTRY_SERVICE, MONITOR, FLOW = "order", "monitor", "order"
STALL_S = 60.0
POLL_S, MAX_POLL_S = 0.05, 1.0
ROWS = {
    "payment": "select saga from payment where phase = 'captured'",
    "shipping": "select saga from shipment where phase = 'picked_up'",
    "notification": "select saga from mailing where sent ? 'shipped'",
}
"""Queries for one row per completed order. Other orders have no such row."""


@dataclass(frozen=True)
class Platform:
    """Contender `platform`.

    `replicas`: of every service; `monitors`: replicas of the monitor; `order_api`: the order
    service runs too; `home`, `partitions`: see `start_testbed`.
    """

    name: str = "platform"
    orders: int = 10_000
    rates: Sequence[int] = (1, 10, 50, 100)
    replicas: int = 1
    monitors: int = 1
    partitions: int | None = None
    order_api: bool = False
    home: Path | None = None

    @contextmanager
    def deploy(self) -> Iterator["PlatformDeployment"]:
        """See `Contender`."""
        with start_testbed(self.home, self.partitions) as testbed:
            probes = {}
            for service in (*SERVICES, *((ENTRY_SERVICE,) if self.order_api else ()), MONITOR):
                count = self.monitors if service == MONITOR else self.replicas
                for number in range(1, count + 1):
                    name = service if number == 1 else f"{service}-{number}"
                    env = _settings(testbed, name, service, number)
                    testbed.start(name, (sys.executable, "-m", *_module(service)), env)
                    probes[name] = http_ready(f"{testbed.url(name)}/health/ready")
            testbed.wait(probes)
            yield PlatformDeployment(testbed)


class PlatformDeployment:
    """The platform's running processes. `Platform` starts them."""

    def __init__(self, testbed: Testbed) -> None:
        self.testbed = testbed
        self._publisher = Publisher(testbed.bootstrap_servers, "bench")
        self._codec = Codec(CONTRACT)

    def place(self, orders: Sequence[ShopOrder], rate: float | None = None) -> Figures:
        """See `Deployment`."""
        rows = self._add_stock(orders)
        meter = Meter(self.testbed)
        begun = time.perf_counter()
        publish(self._publisher, rows, rate)
        self._wait(orders)
        seconds = time.perf_counter() - begun
        cpu, memory = meter.read(len(orders))
        p50_ms, p99_ms = self._latency(orders)
        ends = self._ends(orders)
        return Figures(len(orders), seconds, p50_ms, p99_ms, cpu, memory, ends)

    def publish(self, orders: Sequence[ShopOrder]) -> None:
        """Place the orders at once, without waiting for their ends."""
        self._publisher.publish(self._add_stock(orders))

    def _add_stock(self, orders: Sequence[ShopOrder]) -> list[OutboxRow]:
        """Put the orders' units in stock, then return the orders as OrderPlaced outbox rows."""
        for sku, quantity in stock_for(orders).items():
            body = {
                "sku": sku,
                "quantity": quantity,
                "actor": "bench",
                "reason": "stock",
                "id": f"{orders[0].order_id}:{sku}",
            }
            url, headers = f"{self.testbed.url('inventory')}/stock", self.testbed.headers
            httpx2.post(url, json=body, headers=headers).raise_for_status()
        return [_row(self._codec, order, number) for number, order in enumerate(orders)]

    def _monitor(self) -> psycopg.Connection:
        return psycopg.connect(self.testbed.database("monitor"), autocommit=True)

    def _wait(self, orders: Sequence[ShopOrder]) -> None:
        with self._monitor() as connection:
            ended, begun = 0, time.monotonic()
            at = begun
            while ended < len(orders):
                time.sleep(next_poll_s(ended, len(orders), time.monotonic() - begun))
                (now,) = connection.execute(
                    "select count(*) from saga where saga like %s "
                    "and status in ('completed', 'cancelled')",
                    [f"{FLOW}/{run_of(orders)}%"],
                ).fetchone() or (0,)
                if now != ended:
                    ended, at = now, time.monotonic()
                elif time.monotonic() - at > STALL_S:
                    self.testbed.check_alive()
                    raise TimeoutError(f"{ended} of {len(orders)} ended, none for {STALL_S} s")

    def _latency(self, orders: Sequence[ShopOrder]) -> tuple[float, float]:
        with self._monitor() as connection:
            rows = connection.execute(
                "select extract(epoch from ended_at - started_at) from saga where saga like %s",
                [f"{FLOW}/{run_of(orders)}%"],
            ).fetchall()
        return quantiles_ms([float(seconds) for (seconds,) in rows])

    def _ends(self, orders: Sequence[ShopOrder]) -> dict[str, int]:
        """Return orders per kind, after checking each order's end in the monitor and in the tables.

        Raises `WrongEnds`.
        """
        with self._monitor() as connection:
            found: dict[str, str] = dict(
                connection.execute(
                    "select saga, status from saga where saga like %s",
                    [f"{FLOW}/{run_of(orders)}%"],
                ).fetchall()
            )
        wrong = [order.order_id for order in orders if found.get(key_of(order)) != order.end]
        if wrong:
            raise WrongEnds(f"{len(wrong)} orders have a wrong end, {wrong[0]} among them")
        good = {key_of(order) for order in orders if order.end is End.COMPLETED}
        for name, query in ROWS.items():
            with psycopg.connect(self.testbed.database(name)) as connection:
                rows = connection.execute(
                    f"{query} and saga like %s", [f"{FLOW}/{run_of(orders)}%"]
                )
                there = {saga for (saga,) in rows}
            if there != good:
                raise WrongEnds(f"{name}: {len(there)} rows, not {len(good)}")
        return kinds_of(orders)


def next_poll_s(ended: int, orders: int, seconds: float) -> float:
    """Return the seconds to wait before the ended orders are counted again.

    It is a fourth of the time left at the rate so far, at least `POLL_S` and at most `MAX_POLL_S`.
    Long pauses spare the database: a count costs more the more orders there are.
    """
    left_s = (orders - ended) * seconds / ended if ended else 0.0
    return min(max(left_s / 4, POLL_S), MAX_POLL_S)


SEALING_SERVICE = "order"
"""It keeps the customers' keys; the secret that wraps them is drawn under its name."""


def _module(service: str) -> tuple[str, ...]:
    match service:
        case "monitor":
            return ("sagakit", "saga_monitor")
        case "order":
            return ("sagakit", "services.order")
    return ("benchmarks.instant_service", service)


def _settings(testbed: Testbed, name: str, service: str, number: int) -> dict[str, str]:
    return {
        "SAGA_BOOTSTRAP_SERVERS": testbed.kafka_for(service),
        "SAGA_DATABASE_URL": testbed.database_for(service),
        "SAGA_CONTRACT": "schemas",
        "SAGA_HTTP_HOST": "127.0.0.1",
        "SAGA_HTTP_PORT": str(testbed.port(name)),
        "SAGA_INSTANCE_ID": f"{service}-{number}",
        "SAGA_STATIC_MEMBERSHIP": "true",
        "SAGA_LOG_LEVEL": "WARNING",
        "SAGA_KEY_ENCRYPTION_KEY": testbed.secret(SEALING_SERVICE),
        "SAGA_PARTICIPANTS": json.dumps({other: testbed.url(other) for other in SERVICES}),
    }


def _row(codec: Codec, order: ShopOrder, number: int) -> OutboxRow:
    placed_at = datetime.now(UTC)
    event = OrderPlaced(order_id=order.order_id, order=order.facts, placed_at=placed_at)
    headers = (
        ("ce_id", str(uuid5(NAMESPACE, order.order_id)).encode()),
        ("ce_source", b"bench"),
        ("flow", order.flow.encode()),
    )
    return OutboxRow("order.events", order.order_id, headers, codec.body(event), number)
