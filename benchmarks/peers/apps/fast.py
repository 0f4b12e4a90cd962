"""Runs a service, as one writes it with FastStream.

`python -m benchmarks.peers.apps.fast SERVICE`. It follows the manual's advice on speed: batches
(`batch=True`); one transaction and one offset commit per batch; no wait for the delivery of each
answer; plain JSON without a model; no validation of arguments; uvloop.
"""

import asyncio
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import uvloop
from faststream import AckPolicy, FastStream
from faststream.kafka import KafkaBroker
from psycopg_pool import AsyncConnectionPool

from benchmarks.peers.apps.route import TOPICS, step_for
from benchmarks.peers.apps.steps import run_async

BATCH = 500


def application(name: str, bootstrap_servers: str, database_url: str) -> FastStream:
    """Return the service of this name."""
    broker = KafkaBroker(
        bootstrap_servers,
        acks="all",
        enable_idempotence=True,
        apply_types=False,
        logger=logging.getLogger(name),  # its level suppresses one line per message
    )
    pool = AsyncConnectionPool(database_url, min_size=1, max_size=len(TOPICS[name]), open=False)

    @broker.subscriber(
        *TOPICS[name],
        group_id=name,
        auto_offset_reset="earliest",
        ack_policy=AckPolicy.NACK_ON_ERROR,
        batch=True,
        max_records=BATCH,
    )
    async def handle(events: Sequence[dict[str, Any]]) -> None:
        answers = []
        async with pool.connection() as connection, connection.cursor() as cursor:
            for event in events:
                step = step_for(name, event)
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

    app = FastStream(broker, logger=None)
    app.on_startup(pool.open)
    app.after_startup(Path(os.environ["BENCH_READY"]).touch)
    app.after_shutdown(pool.close)
    return app


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    service = application(sys.argv[1], os.environ["BENCH_KAFKA"], os.environ["BENCH_DATABASE"])
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(service.run())
