"""Runs a worker, as one writes it with Temporal.

`python -m benchmarks.peers.apps.temporal_app`. It follows the manual's advice on speed: pollers
that scale themselves, slots and cache for all orders in flight, no sandbox around workflows,
asynchronous activities over one pool. `BENCH_LOCAL=1`: the steps are local activities, which the
worker runs within the workflow task.
"""

import asyncio
import os
import signal
from datetime import timedelta
from pathlib import Path
from typing import Any

import uvloop
from psycopg_pool import AsyncConnectionPool
from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import PollerBehaviorAutoscaling, UnsandboxedWorkflowRunner, Worker

from benchmarks.peers.apps.steps import (
    BY_NAME,
    DECLINED,
    MAIL_SENT,
    REJECTED,
    RELEASED,
    Order,
    once,
    run_async,
)

QUEUE = "orders"
SLOTS, CACHED, POOL = 200, 5000, 20
LIMIT = timedelta(seconds=30)
LOCAL = os.environ.get("BENCH_LOCAL") == "1"


@workflow.defn(name="order_saga")
class OrderSaga:
    """The workflow of one order: it runs the steps in sequence."""

    @workflow.run
    async def run(self, order: dict[str, Any]) -> str:
        """Run the steps and return the name of the last event."""
        if await _do("reserve", order) == REJECTED:
            return REJECTED
        if await _do("charge", order) == DECLINED:
            await _do("release", order)
            return RELEASED
        await _do("ship", order)
        await _do("notify", order)
        return MAIL_SENT


async def _do(step: str, order: Order) -> str:
    execute = workflow.execute_local_activity if LOCAL else workflow.execute_activity
    answer = await execute("do", args=[step, order], result_type=str, start_to_close_timeout=LIMIT)
    return str(answer)


class Steps:
    """The activity that runs a step, over a pool of connections."""

    def __init__(self, pool: AsyncConnectionPool) -> None:
        self._pool = pool

    @activity.defn(name="do")
    async def do(self, step: str, order: dict[str, Any]) -> str:
        """Run a step, guarded by `once`: Temporal runs an activity at least once."""
        guarded = once(f"{order['order_id']}:{step}", BY_NAME[step](order))
        async with self._pool.connection() as connection, connection.cursor() as cursor:
            return await run_async(cursor, guarded)


async def serve() -> None:
    """Run the worker until SIGTERM."""
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    client = await Client.connect(os.environ["BENCH_TEMPORAL"])
    async with AsyncConnectionPool(
        os.environ["BENCH_DATABASE"], min_size=1, max_size=POOL, open=False
    ) as pool:
        worker = Worker(
            client,
            task_queue=QUEUE,
            workflows=[OrderSaga],
            activities=[Steps(pool).do],
            workflow_runner=UnsandboxedWorkflowRunner(),
            max_cached_workflows=CACHED,
            max_concurrent_workflow_tasks=SLOTS,
            max_concurrent_activities=SLOTS,
            max_concurrent_local_activities=SLOTS,
            workflow_task_poller_behavior=PollerBehaviorAutoscaling(),
            activity_task_poller_behavior=PollerBehaviorAutoscaling(),
        )
        async with worker:
            Path(os.environ["BENCH_READY"]).touch()
            await stopping.wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())
