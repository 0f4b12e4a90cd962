"""Runs a service, as one writes it with FastStream.

`python -m benchmarks.peers.apps.fast SERVICE`. It follows the manual's advice on speed: batches
(`batch=True`); one transaction and one offset commit per batch; no wait for the delivery of each
answer; plain JSON without a model; no validation of arguments; uvloop.
"""

import asyncio
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import uvloop
from faststream import AckPolicy, FastStream
from faststream.kafka import KafkaBroker
from psycopg_pool import AsyncConnectionPool

from benchmarks.peers.apps.route import TOPICS, Event, step_for
from benchmarks.peers.apps.steps import Step, run_async

BATCH = 500
StepsOf = Callable[[Sequence[Event]], Awaitable[Sequence[Step | None]]]
"""Returns the steps for a batch of events, None for an event without one."""


def broker_of(name: str, bootstrap_servers: str) -> KafkaBroker:
    """Return the broker of the service of this name."""
    return KafkaBroker(
        bootstrap_servers,
        acks="all",
        enable_idempotence=True,
        apply_types=False,
        logger=logging.getLogger(name),  # its level suppresses one line per message
    )


def subscribe(
    broker: KafkaBroker,
    pool: AsyncConnectionPool,
    name: str,
    topics: Sequence[str],
    steps_of: StepsOf,
    most: int = BATCH,
) -> None:
    """Have the service of this name handle and answer the events of these topics, in batches.

    `most`: how many events a batch has at most.
    """

    @broker.subscriber(
        *topics,
        group_id=name,
        auto_offset_reset="earliest",
        ack_policy=AckPolicy.NACK_ON_ERROR,
        batch=True,
        max_records=most,
    )
    async def handle(events: Sequence[dict[str, Any]]) -> None:
        answers = []
        steps = await steps_of(events)
        async with pool.connection() as connection, connection.cursor() as cursor:
            for event, step in zip(events, steps, strict=True):
                if step is not None:
                    answers.append({**event, "type": await run_async(cursor, step)})
        # One by one: a FastStream batch has no key per message. aiokafka batches them by partition.
        sent = [
            await broker.publish(
                answer,
                f"{name}.events",
                key=answer["order"]["order_id"].encode(),
                no_confirm=True,
            )
            for answer in answers
        ]
        await asyncio.gather(*sent)


def application(broker: KafkaBroker, pool: AsyncConnectionPool) -> FastStream:
    """Return the application that runs broker and pool."""
    app = FastStream(broker, logger=None)
    app.on_startup(pool.open)
    app.after_startup(Path(os.environ["BENCH_READY"]).touch)
    app.after_shutdown(pool.close)
    return app


def run(app: FastStream) -> None:
    """Run the application until SIGTERM."""
    logging.basicConfig(level=logging.WARNING)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(app.run())


def service(name: str, bootstrap_servers: str, database_url: str) -> FastStream:
    """Return the service of this name, whose outside world answers at once."""

    async def steps_of(events: Sequence[Event]) -> list[Step | None]:
        return [step_for(name, event) for event in events]

    topics = TOPICS[name]
    broker = broker_of(name, bootstrap_servers)
    pool = AsyncConnectionPool(database_url, min_size=1, max_size=len(topics), open=False)
    subscribe(broker, pool, name, topics, steps_of)
    return application(broker, pool)


if __name__ == "__main__":
    run(service(sys.argv[1], os.environ["BENCH_KAFKA"], os.environ["BENCH_DATABASE"]))
