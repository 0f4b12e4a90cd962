"""Runs a service over HTTP, as one writes it with confluent-kafka, urllib3 and smtplib.

`python -m benchmarks.peers.apps.plain_http SERVICE`. It is `plain`, and calls the outside before
each transaction, one call at a time, over connections that are kept. Requests come to `order` (to
place orders) and to `shipping` (the carrier's webhook). Each is a transaction and an event, whose
acknowledgement is waited for.
"""

import asyncio
import os
import smtplib
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from email.message import EmailMessage
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import urllib3
from confluent_kafka import KafkaError, KafkaException, Message, Producer
from psycopg_pool import ConnectionPool

from benchmarks.peers.apps.http_requests import (
    FACTS,
    ORDERS,
    STATUSES,
    TOO_EARLY,
    WEBHOOK,
    Refused,
    order_of,
    picked_up_order,
)
from benchmarks.peers.apps.http_route import HTTP_TOPICS, Answer, pickup_step, step_after_call
from benchmarks.peers.apps.outside import Call, call_for
from benchmarks.peers.apps.plain import Service, producer_config
from benchmarks.peers.apps.route import Event
from benchmarks.peers.apps.steps import CONFLICT, PLACED, Order, Step, place, run
from benchmarks.peers.apps.web import serve

TIMEOUT_S = 10.0
CONNECTIONS = 10


class Outside:
    """Calls provider, carrier and mail server."""

    def __init__(self) -> None:
        # A repeated call is safe: see `outside`.
        self._http = urllib3.PoolManager(
            timeout=TIMEOUT_S, retries=urllib3.Retry(3, allowed_methods=None)
        )
        self._smtp: smtplib.SMTP | None = None

    def step(self, service: str, event: Event) -> Step | None:
        """Make the call that the event asks for, if any, and return the step for its answer."""
        call = call_for(service, event)
        return step_after_call(service, event, None if call is None else self._call(call))

    def _call(self, call: Call) -> Answer:
        if isinstance(call, EmailMessage):
            self._send(call)
            return None
        answer = self._http.request(
            "POST",
            os.environ[call.server] + call.path,
            body=orjson.dumps(call.body),
            headers={"Content-Type": "application/json", "Idempotency-Key": call.key},
        )
        if answer.status >= 300:
            raise RuntimeError(f"{call.path}: {answer.status} {answer.data!r}")
        read: Answer = orjson.loads(answer.data)
        return read

    def _send(self, mail: EmailMessage) -> None:
        try:
            self._smtp = self._smtp or self._connect()
            self._smtp.send_message(mail)
        except smtplib.SMTPServerDisconnected:  # it was idle for too long
            self._smtp = self._connect()
            self._smtp.send_message(mail)

    def _connect(self) -> smtplib.SMTP:
        host, port = os.environ["BENCH_SMTP"].split(":")
        return smtplib.SMTP(host, int(port), local_hostname="localhost", timeout=TIMEOUT_S)


class Requests:
    """Handles requests. Each blocks its thread until the broker has acknowledged the event."""

    def __init__(self, bootstrap_servers: str, database_url: str) -> None:
        self._pool = ConnectionPool(database_url, min_size=1, max_size=CONNECTIONS, open=True)
        self._producer = Producer(producer_config(bootstrap_servers))
        threading.Thread(target=self._report_deliveries, daemon=True).start()

    def place(self, body: bytes, _: str) -> int:
        """Place an order, and return the status to answer."""
        order = order_of(body)
        with self._pool.connection() as connection, connection.cursor() as cursor:
            answer = run(cursor, place(order))
        if answer != CONFLICT:  # also after a repeat: the first time may have ended in a crash
            self._publish("order.events", PLACED, order)
        return STATUSES[answer]

    def pick_up(self, body: bytes, signature: str) -> int:
        """Note that the carrier has a parcel, and return the status to answer."""
        order_id = picked_up_order(os.environ["BENCH_CARRIER_SECRET"], body, signature)
        if order_id is None:
            return 200
        with self._pool.connection() as connection, connection.cursor() as cursor:
            row = cursor.execute(FACTS, (order_id,)).fetchone()
            if row is None:
                raise Refused(TOO_EARLY)
            answer = run(cursor, pickup_step(row[0]))
        self._publish("shipping.events", answer, row[0])
        return 200

    def _publish(self, topic: str, kind: str, order: Order) -> None:
        acknowledged = Future[None]()

        def delivered(error: KafkaError | None, _: Message) -> None:
            if error is not None:
                acknowledged.set_exception(KafkaException(error))
            else:
                acknowledged.set_result(None)

        event = orjson.dumps({"type": kind, "order": order})
        self._producer.produce(topic, event, order["order_id"], on_delivery=delivered)
        acknowledged.result(TIMEOUT_S)

    def _report_deliveries(self) -> None:
        while True:
            self._producer.poll(1.0)


async def listen(path: str, take: Callable[[bytes, str], int], serving: Callable[[], Any]) -> None:
    """Serve a path for ever, each request in a thread; call `serving` when it listens."""

    async def take_in_thread(body: bytes, signature: str) -> int:
        return await asyncio.to_thread(take, body, signature)

    await serve(int(os.environ["BENCH_PORT"]), path, take_in_thread)
    serving()
    await asyncio.Event().wait()


def main(name: str) -> None:
    """Run the service of this name until SIGTERM."""
    kafka, database = os.environ["BENCH_KAFKA"], os.environ["BENCH_DATABASE"]
    if name == "order":
        ready = Path(os.environ["BENCH_READY"]).touch
        return asyncio.run(listen(ORDERS, Requests(kafka, database).place, ready))
    if name == "shipping":
        serving = threading.Event()
        webhook = listen(WEBHOOK, Requests(kafka, database).pick_up, serving.set)
        threading.Thread(target=asyncio.run, args=(webhook,), daemon=True).start()
        serving.wait(TIMEOUT_S)
    step_of = partial(Outside().step, name)
    return Service(name, HTTP_TOPICS[name], step_of, kafka, database).run()


if __name__ == "__main__":
    main(sys.argv[1])
