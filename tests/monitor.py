"""A real monitor process for tests, and a publisher to the topics it reads."""

import os
import re
import signal
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx2
import psycopg

from saga_lab.devstack.ports import free_port
from sagakit.contract.model import saga_id_of
from sagakit.identity import saga_key
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
    PaymentReviewRequired,
    ShipmentCreated,
    ShipmentPickedUp,
    ShippedMailSent,
    StockLine,
)
from tests.stack import PATIENCE_S, TestInfra, until

CODEC = Codec(CONTRACT)
FACTS = OrderFacts(
    customer_id="c-1",
    email="a@example.org",
    currency="EUR",
    total_minor=500,
    lines=(OrderLine(sku="sku-1", quantity=1, unit_price_minor=500),),
    card_token="tok_ok",
    ship_to="Some street 1",
)


def money_in(seen: dict[str, Any]) -> dict[str, Any]:
    """The money in an answer of the monitor, of which there is one kind at most."""
    rows = [row for row in seen.get("balances", ()) if row["name"] == "money"]
    return rows[0] if rows else {"added": 0, "removed": 0, "held": 0}


_ROWS = (
    "SELECT saga, flow, version, status, facts, awaited, next_deadline, "
    "started_at, ended_at, updated_at, partition FROM saga "
    "WHERE saga = ANY(%s) ORDER BY saga",
    "SELECT * FROM balance WHERE saga = ANY(%s) ORDER BY saga, name, kind",
    'SELECT saga, event_id, type, source, seq, at, causation, partition, "offset", detail '
    "FROM timeline WHERE saga = ANY(%s) ORDER BY saga, event_id, type",
    "SELECT * FROM intervention WHERE saga = ANY(%s) ORDER BY saga, code",
)
"""All that is known of orders, without the times at which a monitor looks again and has read."""
UNITS = (StockLine(sku="sku-1", quantity=1),)


def placed(order_id: str) -> OrderPlaced:
    """The start."""
    return OrderPlaced(order_id=order_id, order=FACTS, placed_at=datetime.now(UTC))


def reserved(order_id: str) -> InventoryReserved:
    """Step inventory done."""
    return InventoryReserved(order_id=order_id, order=FACTS)


def captured(order_id: str) -> PaymentCaptured:
    """Step payment done."""
    return PaymentCaptured(
        order_id=order_id, order=FACTS, charge_id="ch-1", amount_minor=500, currency="EUR"
    )


def review(order_id: str) -> PaymentReviewRequired:
    """Step payment waits for a person."""
    return PaymentReviewRequired(order_id=order_id, order=FACTS, reason="large")


def whole(order_id: str) -> tuple[Any, ...]:
    """All events of an order that goes well."""
    label: dict[str, Any] = {"order": FACTS, "label_id": "lb-1", "tracking": "TRK1"}
    return (
        placed(order_id),
        reserved(order_id),
        captured(order_id),
        ShipmentCreated(order_id=order_id, **label),
        ShipmentPickedUp(order_id=order_id, **label),
        InventoryShipped(order_id=order_id, lines=UNITS),
        ShippedMailSent(order_id=order_id, to="a@example.org"),
    )


def keys_of(orders: Iterable[str]) -> list[str]:
    """The saga keys of orders."""
    return [saga_key("order", order) for order in orders]


def known_rows(database_url: str, orders: Sequence[str]) -> list[list[tuple[Any, ...]]]:
    """Every row that a monitor has about these orders."""
    with psycopg.connect(database_url) as connection:
        return [connection.execute(query, [keys_of(orders)]).fetchall() for query in _ROWS]


class EventPublisher:
    """Publishes events as the services would: counted, each caused by the one before."""

    def __init__(self, infra: TestInfra, codec: Codec = CODEC) -> None:
        self._publisher, self._codec = Publisher(infra.bootstrap_servers, "test-publisher"), codec
        self._counts: Counter[tuple[str, str]] = Counter()
        self._last: dict[str, uuid.UUID] = {}

    def rows(self, *events: Any, flow: str | None = "order/1") -> list[OutboxRow]:
        """The records of events, not yet published."""
        found = []
        for event in events:
            key = saga_key("order", saga_id_of(event))
            self._counts[key, event.owner] += 1
            seq = self._counts[key, event.owner]
            envelope = Envelope(
                id=uuid.uuid5(uuid.NAMESPACE_OID, f"{saga_id_of(event)}:{event.owner}:{seq}"),
                key=key,
                source=event.owner,
                seq=seq,
                time=datetime.now(UTC),
                event=event,
                causation=self._last.get(key),
                trace=Trace(flow),
            )
            self._last[key] = envelope.id
            found.append(self._codec.encode(envelope))
        return found

    def publish_events(self, *events: Any, flow: str | None = "order/1") -> list[OutboxRow]:
        """Publish events in order."""
        return self.publish(self.rows(*events, flow=flow))

    def publish(self, rows: list[OutboxRow]) -> list[OutboxRow]:
        """Publish records as they are."""
        numbered = [OutboxRow(r.topic, r.key, r.headers, r.value, n) for n, r in enumerate(rows, 1)]
        self._publisher.publish(numbered)
        return rows

    def close(self) -> None:
        """Say nothing any more."""
        self._publisher.discard()

    def log_time_ms(self) -> int:
        """The broker's clock."""
        return self._publisher.append_clock_record("saga.clock")


class MonitorProcess:
    """`python -m sagakit saga_monitor` on a database, under a consumer group of its own."""

    def __init__(
        self,
        infra: TestInfra,
        database_url: str,
        log: Path,
        *,
        group: str,
        deadlines: str = "{}",
        settings: Mapping[str, str] = MappingProxyType({}),
        name: str = "monitor-1",
    ) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._log = log
        self._env = {
            **os.environ,
            "SAGA_BOOTSTRAP_SERVERS": infra.bootstrap_servers,
            "SAGA_DATABASE_URL": database_url,
            "SAGA_CONTRACT": "schemas",
            "SAGA_HTTP_HOST": "127.0.0.1",
            "SAGA_HTTP_PORT": str(port),
            "SAGA_INSTANCE_ID": name,
            "SAGA_STATIC_MEMBERSHIP": "true",
            "SAGA_GROUP": group,
            "SAGA_DEADLINES": deadlines,
            **settings,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, wait: bool = True) -> "MonitorProcess":
        """Start, and wait until it is ready."""
        with self._log.open("ab") as out:
            command = [sys.executable, "-m", "sagakit", "saga_monitor"]
            self._process = subprocess.Popen(command, env=self._env, stdout=out, stderr=out)
        if wait:
            until(self.is_ready, f"monitor ready, see {self._log}")
        return self

    def is_ready(self) -> bool:
        """As its own health check says."""
        try:
            return httpx2.get(f"{self.url}/health/ready", timeout=5).status_code == 200
        except httpx2.TransportError:
            return False

    def runs(self) -> bool:
        """Whether the process that was started has not ended."""
        return self._process is not None and self._process.poll() is None

    def metric(self, name: str, **labels: str) -> float:
        """The value of a sample; 0 where it is not there."""
        exposed = httpx2.get(f"{self.url}/metrics", timeout=PATIENCE_S).raise_for_status().text
        for sample in re.finditer(rf"^{name}(?:{{(.*)}})? (\S+)$", exposed, re.M):
            if dict(re.findall(r'(\w+)="([^"]*)"', sample[1] or "")) == labels:
                return float(sample[2])
        return 0.0

    def signal(self, number: signal.Signals) -> None:
        """Any signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def exit_status(self) -> int:
        """Wait for its end."""
        assert self._process is not None
        return self._process.wait(PATIENCE_S)

    def revive(self) -> None:
        """Start it again if it has ended, as a supervisor does."""
        if self._process is not None and self._process.poll() is not None:
            self.start(wait=False)

    def kill(self) -> None:
        """kill -9."""
        self.signal(signal.SIGKILL)
        self.exit_status()

    def close(self) -> None:
        """Whatever state it is in."""
        if self._process is not None and self._process.poll() is None:
            self.kill()

    def get(self, path: str, **params: Any) -> Any:
        """JSON of a GET."""
        return (
            httpx2.get(f"{self.url}{path}", params=params, timeout=PATIENCE_S)
            .raise_for_status()
            .json()
        )

    def post(self, path: str, body: Mapping[str, Any]) -> httpx2.Response:
        """A POST, whatever the answer."""
        return httpx2.post(f"{self.url}{path}", json=dict(body), timeout=PATIENCE_S)

    def saga(self, saga_id: str, flow: str = "order") -> dict[str, Any] | None:
        """What it knows of a saga."""
        answer = httpx2.get(f"{self.url}/sagas/{flow}/{saga_id}", timeout=PATIENCE_S)
        found: dict[str, Any] | None = answer.json() if answer.status_code == 200 else None
        return found

    def status(self, saga_id: str, flow: str = "order") -> str | None:
        """Of a saga."""
        saga = self.saga(saga_id, flow)
        return saga["status"] if saga else None

    def types(self, saga_id: str, flow: str = "order") -> list[str]:
        """Types of the events it knows of a saga, in log time."""
        saga = self.saga(saga_id, flow)
        return [event["type"] for event in saga["timeline"]] if saga else []


@contextmanager
def monitor(
    infra: TestInfra, database_url: str, log: Path, **options: Any
) -> Iterator[MonitorProcess]:
    """A monitor that is gone at the end."""
    process = MonitorProcess(infra, database_url, log, **options)
    try:
        yield process
    finally:
        process.close()
