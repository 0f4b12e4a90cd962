"""Enqueues orders and waits for their ends.

`python -m benchmarks.peers.apps.dbos_driver` reads `{"orders": [...], "rate": null}` and prints
`{"seconds": ..., "latencies_s": [...]}`. Latency is the time from enqueueing to the end, by the
timestamps in the workflows' own rows.
"""

import asyncio
import os
import sys
import time

import orjson
import psycopg
import sqlalchemy
from dbos import DBOSClient, EnqueueOptions

from benchmarks.peers.apps.dbos_app import APPLICATION, QUEUE, VERSION, WORKFLOW
from benchmarks.peers.apps.pace import due

POLL_S = 0.05
ENDED = (
    "select completed_at - created_at from dbos.workflow_status "
    "where workflow_uuid like %s and status in ('SUCCESS', 'ERROR')"
)
CHUNK = 200


async def main() -> None:
    """Place the orders of one run and print its figures."""
    request = orjson.loads(sys.stdin.buffer.read())
    orders, url = request["orders"], os.environ["BENCH_DATABASE"]
    engine = sqlalchemy.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    client = DBOSClient(system_database_engine=engine, application_name=APPLICATION)
    begun = time.perf_counter()
    async for numbers in due(len(orders), request["rate"]):
        for start in range(numbers.start, numbers.stop, CHUNK):
            with engine.begin() as connection:
                for number in range(start, min(start + CHUNK, numbers.stop)):
                    options: EnqueueOptions = {
                        "queue_name": QUEUE,
                        "workflow_name": WORKFLOW,
                        "workflow_id": orders[number]["order_id"],
                        "app_version": VERSION,
                    }
                    client.enqueue_in_transaction(connection, options, orders[number])
    run = orders[0]["order_id"].partition("-")[0]
    with psycopg.connect(url, autocommit=True) as connection:
        while True:
            rows = connection.execute(ENDED, [f"{run}-%"]).fetchall()
            if len(rows) == len(orders):
                break
            await asyncio.sleep(POLL_S)
    seconds = time.perf_counter() - begun
    found = {"seconds": seconds, "latencies_s": [ms / 1000 for (ms,) in rows]}
    sys.stdout.buffer.write(orjson.dumps(found))


if __name__ == "__main__":
    asyncio.run(main())
