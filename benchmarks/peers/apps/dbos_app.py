"""Runs a worker, as one writes it with DBOS Transact.

`python -m benchmarks.peers.apps.dbos_app NUMBER`. It follows the manual's advice on speed: a queue
with a limit per worker and frequent polls; pools as large as the limit; one executor id per
process. A step commits its rows with a key of its own. The manual's alternatives, datasource
transactions and asynchronous workflows, take more CPU per order.
"""

import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from dbos import DBOS, DBOSConfig
from psycopg_pool import ConnectionPool

from benchmarks.peers.apps.steps import (
    BY_NAME,
    DECLINED,
    MAIL_SENT,
    REJECTED,
    RELEASED,
    Order,
    once,
    run,
)

QUEUE, WORKFLOW, VERSION, APPLICATION = "orders", "order_saga", "1", "bench"
AT_ONCE = 20
POLLING_S = 0.05


def config(number: str) -> DBOSConfig:
    """Return the configuration of worker `number`."""
    return {
        "name": APPLICATION,
        "system_database_url": os.environ["BENCH_DATABASE"],
        "application_version": VERSION,
        "executor_id": number,
        "sys_db_pool_size": AT_ONCE,
        "log_level": "WARNING",
    }


def serve(number: str) -> None:
    """Run the worker until SIGTERM."""
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    DBOS(config=config(number))
    pool = ConnectionPool(os.environ["BENCH_DATABASE"], min_size=1, max_size=AT_ONCE, open=True)

    @DBOS.step()
    def do(step: str, order: Order) -> str:
        guarded = once(f"{order['order_id']}:{step}", BY_NAME[step](order))
        with pool.connection() as connection, connection.cursor() as cursor:
            return run(cursor, guarded)

    @DBOS.workflow(name=WORKFLOW)
    def order_saga(order: dict[str, Any]) -> str:
        if do("reserve", order) == REJECTED:
            return REJECTED
        if do("charge", order) == DECLINED:
            do("release", order)
            return RELEASED
        do("ship", order)
        do("notify", order)
        return MAIL_SENT

    DBOS.launch()
    DBOS.register_queue(QUEUE, worker_concurrency=AT_ONCE, polling_interval_sec=POLLING_S)
    Path(os.environ["BENCH_READY"]).touch()
    stopping.wait()
    DBOS.destroy()
    pool.close()


if __name__ == "__main__":
    serve(sys.argv[1])
