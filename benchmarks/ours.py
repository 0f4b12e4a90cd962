"""The order saga on this platform: real Kafka and PostgreSQL, a process a service, the monitor.

Only the outside world is missing (see `benchmarks.instant`). An order counts as done when the
monitor has folded its end.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid5

import httpx
import psycopg

from benchmarks.meter import cpu_s, memory_mb
from sagakit.codec import Codec
from sagakit.kafka import Publisher
from sagakit.message import NAMESPACE, OutboxRow
from sandbox.shop import ShopOrder
from sandbox.shop.kinds import Basket, End, Kind
from sandbox.shop.orders import stock_for
from sandbox.stack import Stack, StackOptions
from sandbox.stack.readiness import ProcessInfo, await_ready, http_ready
from schemas import CONTRACT
from schemas.events import OrderPlaced

SERVICES = ("inventory", "payment", "shipping", "notification")
KINDS = (
    Kind("plain", End.COMPLETED, "nothing special", share=18),
    Kind("declined", End.CANCELLED, "the card is declined", card="tok_declined"),
    Kind("out_of_stock", End.CANCELLED, "one line is sold out", basket=Basket.SOLD_OUT),
)
"""90 % good, 5 % declined and undone, 5 % out of stock."""
READY_S, STOP_S = 60.0, 30.0
STALL_S = 60.0


@dataclass(frozen=True)
class Figures:
    """What a run showed. Latency: from the order's append to that of its last step, log time."""

    orders: int
    seconds: float
    p50_ms: float
    p99_ms: float
    cpu_ms_an_order: dict[str, float]
    memory_mb: dict[str, float]

    @property
    def orders_a_second(self) -> float:
        """From the first publication to the last end folded."""
        return self.orders / self.seconds

    @property
    def cpu_ms(self) -> float:
        """CPU an order over all processes, but for the shop that publishes."""
        return sum(self.cpu_ms_an_order.values())


class Deployment:
    """Running processes of the platform, started by `deployed`."""

    def __init__(self, home: Path, stack: dict[str, object], pids: dict[str, int]) -> None:
        self.home, self.stack, self.pids = home, stack, pids
        self.urls: dict[str, str] = {}

    def place(self, orders: Sequence[ShopOrder], rate: float | None = None) -> Figures:
        """Publish them at once, or `rate` a second, and wait until the monitor saw each end."""
        self._stock(orders)
        codec = Codec(CONTRACT)
        rows = [_row(codec, order, number) for number, order in enumerate(orders)]
        publisher = Publisher(str(self.stack["bootstrap_servers"]), "bench")
        before = cpu_s(self.pids)
        begun = time.perf_counter()
        if rate is None:
            publisher.publish(rows)
        else:
            _paced(publisher, rows, rate, begun)
        self._wait(orders)
        seconds = time.perf_counter() - begun
        spent = cpu_s(self.pids)
        spent.subtract(before)
        p50_ms, p99_ms = self._latency(orders)
        return Figures(
            len(orders),
            seconds,
            p50_ms,
            p99_ms,
            {name: round(1000 * s / len(orders), 3) for name, s in spent.items()},
            {name: round(mb) for name, mb in memory_mb(self.pids).items()},
        )

    def _stock(self, orders: Sequence[ShopOrder]) -> None:
        for sku, quantity in stock_for(orders).items():
            body = {
                "sku": sku,
                "quantity": quantity,
                "actor": "bench",
                "reason": "stock",
                "id": f"{orders[0].order_id}:{sku}",
            }
            httpx.post(f"{self.urls['inventory']}/stock", json=body).raise_for_status()

    def _monitor(self) -> psycopg.Connection:
        databases = self.stack["databases"]
        assert isinstance(databases, dict)
        return psycopg.connect(databases["monitor"], autocommit=True)

    def _wait(self, orders: Sequence[ShopOrder]) -> None:
        first = orders[0].order_id.rpartition("-")[0].rpartition("-")[0]
        with self._monitor() as connection:
            ended, at = -1, time.monotonic()
            while ended < len(orders):
                time.sleep(0.05)
                (now,) = connection.execute(
                    "select count(*) from saga where order_id like %s "
                    "and status in ('completed', 'cancelled')",
                    [f"{first}-%"],
                ).fetchone() or (0,)
                if now != ended:
                    ended, at = now, time.monotonic()
                elif time.monotonic() - at > STALL_S:
                    raise TimeoutError(f"{ended} of {len(orders)} ended, none for {STALL_S} s")

    def _latency(self, orders: Sequence[ShopOrder]) -> tuple[float, float]:
        with self._monitor() as connection:
            rows = connection.execute(
                "select extract(epoch from ended_at - started_at) from saga "
                "where order_id = any(%s)",
                [[order.order_id for order in orders]],
            ).fetchall()
        cuts = statistics.quantiles([1000 * float(s) for (s,) in rows], n=100)
        return round(cuts[49], 1), round(cuts[98], 1)


@contextmanager
def deployed() -> Iterator[Deployment]:
    """Kafka, PostgreSQL, four services and the monitor in a home of their own; stopped after."""
    with tempfile.TemporaryDirectory(prefix="saga-bench-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        stack = Stack.up(home, StackOptions(port_base=0, only=frozenset({"infra"})))
        started: dict[str, subprocess.Popen[bytes]] = {}
        try:
            content = stack.read()
            pids = {n: p["pid"] for n, p in content["processes"].items()}
            deployment = Deployment(home, content, pids)
            for name in (*SERVICES, "monitor"):
                port = content["ports"][name]
                started[name] = _start(name, port, content, home)
                deployment.urls[name] = f"http://127.0.0.1:{port}"
                pids[name] = started[name].pid
            probes = {n: http_ready(f"{deployment.urls[n]}/health/ready") for n in started}
            await_ready(probes, lambda: _seen(started, home), time.monotonic() + READY_S)
            yield deployment
        finally:
            _stop(started)
            stack.down()


def _start(name: str, port: int, stack: dict, home: Path) -> "subprocess.Popen[bytes]":  # type: ignore[type-arg]
    module = ("saga_monitor",) if name == "monitor" else ("benchmarks.instant", name)
    env = {
        **os.environ,
        "SAGA_BOOTSTRAP_SERVERS": stack["bootstrap_servers"],
        "SAGA_DATABASE_URL": stack["databases"][name],
        "SAGA_HTTP_HOST": "127.0.0.1",
        "SAGA_HTTP_PORT": str(port),
        "SAGA_INSTANCE_ID": f"{name}-1",
        "SAGA_LOG_LEVEL": "WARNING",
    }
    log = (home / f"{name}.log").open("wb")
    return subprocess.Popen([sys.executable, "-m", *module], env=env, stdout=log, stderr=log)


def _seen(started: Mapping[str, "subprocess.Popen[bytes]"], home: Path) -> dict[str, ProcessInfo]:
    """What `await_ready` tells of a process that does not get ready: its log."""
    return {
        name: ProcessInfo(name, "STARTED", process.pid, home / f"{name}.log", "")
        for name, process in started.items()
    }


def _stop(started: Mapping[str, "subprocess.Popen[bytes]"]) -> None:
    """In good order, and those that do not end all the same."""
    for process in started.values():
        process.terminate()
    for process in started.values():
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()


def _row(codec: Codec, order: ShopOrder, number: int) -> OutboxRow:
    placed_at = datetime.now(UTC)
    event = OrderPlaced(order_id=order.order_id, order=order.facts, placed_at=placed_at)
    headers = (
        ("ce_id", str(uuid5(NAMESPACE, order.order_id)).encode()),
        ("ce_source", b"bench"),
        ("flow", order.flow.encode()),
    )
    return OutboxRow("order.events", order.order_id, headers, codec.body(event), number)


def _paced(publisher: Publisher, rows: Sequence[OutboxRow], rate: float, begun: float) -> None:
    sent = 0
    while sent < len(rows):
        due = min(len(rows), int((time.perf_counter() - begun) * rate) + 1)
        if due > sent:
            publisher.publish(rows[sent:due])
            sent = due
        time.sleep(0.002)
