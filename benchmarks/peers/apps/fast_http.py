"""Runs a service over HTTP, as one writes it with FastStream, aiohttp and aiosmtplib.

`python -m benchmarks.peers.apps.fast_http SERVICE`. It is `fast`, and makes the calls of a batch
together before its transaction, over connections that are kept. Requests come to `order` (to place
orders) and to `shipping` (the carrier's webhook). Each is a transaction and an event, whose
acknowledgement is waited for.
"""

import asyncio
import os
import sys
from collections.abc import Sequence
from email.message import EmailMessage

import aiohttp
import aiosmtplib
import orjson
from faststream import FastStream
from faststream.kafka import KafkaBroker
from psycopg_pool import AsyncConnectionPool

from benchmarks.peers.apps.fast import application, broker_of, run, subscribe
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
from benchmarks.peers.apps.route import Event
from benchmarks.peers.apps.steps import CONFLICT, PLACED, Order, Step, place, run_async
from benchmarks.peers.apps.web import serve

TIMEOUT_S = 10.0
CONNECTIONS = 10
AT_ONCE = 100
"""How many events a batch has at most: as many as the HTTP client has connections. With a larger
batch the carrier reports pickups before the labels are stored."""


class Outside:
    """Calls provider, carrier and mail server."""

    def __init__(self) -> None:
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(sock_read=TIMEOUT_S))
        self._free = asyncio.Semaphore(CONNECTIONS)
        self._idle: list[aiosmtplib.SMTP] = []

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def step(self, service: str, event: Event) -> Step | None:
        """Make the call that the event asks for, if any, and return the step for its answer."""
        call = call_for(service, event)
        return step_after_call(service, event, None if call is None else await self._call(call))

    async def _call(self, call: Call) -> Answer:
        if isinstance(call, EmailMessage):
            await self._send(call)
            return None
        async with self._http.post(
            os.environ[call.server] + call.path,
            data=orjson.dumps(call.body),
            headers={"Content-Type": "application/json", "Idempotency-Key": call.key},
            raise_for_status=True,
        ) as answer:
            read: Answer = orjson.loads(await answer.read())
            return read

    async def _send(self, mail: EmailMessage) -> None:
        """Send a mail over a connection of its own: each carries one at a time."""
        async with self._free:
            smtp = self._idle.pop() if self._idle else await self._connected()
            try:
                await smtp.send_message(mail)
            except aiosmtplib.SMTPServerDisconnected:  # it was idle for too long
                smtp = await self._connected()
                await smtp.send_message(mail)
            self._idle.append(smtp)

    async def _connected(self) -> aiosmtplib.SMTP:
        host, port = os.environ["BENCH_SMTP"].split(":")
        smtp = aiosmtplib.SMTP(
            hostname=host, port=int(port), local_hostname="localhost", timeout=TIMEOUT_S
        )
        await smtp.connect()
        return smtp


class Requests:
    """Handles requests."""

    def __init__(self, broker: KafkaBroker, pool: AsyncConnectionPool) -> None:
        self._broker, self._pool = broker, pool

    async def place(self, body: bytes, _: str) -> int:
        """Place an order, and return the status to answer."""
        order = order_of(body)
        async with self._pool.connection() as connection, connection.cursor() as cursor:
            answer = await run_async(cursor, place(order))
        if answer != CONFLICT:  # also after a repeat: the first time may have ended in a crash
            await self._publish("order.events", PLACED, order)
        return STATUSES[answer]

    async def pick_up(self, body: bytes, signature: str) -> int:
        """Note that the carrier has a parcel, and return the status to answer."""
        order_id = picked_up_order(os.environ["BENCH_CARRIER_SECRET"], body, signature)
        if order_id is None:
            return 200
        async with self._pool.connection() as connection, connection.cursor() as cursor:
            row = await (await cursor.execute(FACTS, (order_id,))).fetchone()
            if row is None:
                raise Refused(TOO_EARLY)
            answer = await run_async(cursor, pickup_step(row[0]))
        await self._publish("shipping.events", answer, row[0])
        return 200

    async def _publish(self, topic: str, kind: str, order: Order) -> None:
        event = {"type": kind, "order": order}
        await self._broker.publish(event, topic, key=order["order_id"].encode())


def service(name: str, bootstrap_servers: str, database_url: str) -> FastStream:
    """Return the service of this name."""
    broker = broker_of(name, bootstrap_servers)
    pool = AsyncConnectionPool(database_url, min_size=1, max_size=CONNECTIONS, open=False)
    requests = Requests(broker, pool)
    path, take = (ORDERS, requests.place) if name == "order" else (WEBHOOK, requests.pick_up)
    outside: list[Outside] = []

    async def begin() -> None:
        outside.append(Outside())  # needs the event loop
        if name in ("order", "shipping"):
            await serve(int(os.environ["BENCH_PORT"]), path, take)

    async def steps_of(events: Sequence[Event]) -> list[Step | None]:
        return await asyncio.gather(*(outside[0].step(name, event) for event in events))

    async def end() -> None:
        await outside[0].close()

    if name != "order":
        subscribe(broker, pool, name, HTTP_TOPICS[name], steps_of, AT_ONCE)
    app = application(broker, pool)
    app.on_startup(begin)
    app.after_shutdown(end)
    return app


if __name__ == "__main__":
    run(service(sys.argv[1], os.environ["BENCH_KAFKA"], os.environ["BENCH_DATABASE"]))
