"""Starts workflows and waits for their ends.

`python -m benchmarks.peers.apps.temporal_driver` reads `{"orders": [...], "rate": null}` and prints
`{"seconds": ..., "latencies_s": [...]}`. Latency is the time from start to close, by the server's
own timestamps. The driver counts closed workflows until all are closed: a long poll per workflow
would be work for the server. With the argument `namespace` it creates the namespace and exits.
"""

import asyncio
import os
import sys
import time
from datetime import timedelta

import orjson
import uvloop
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError

from benchmarks.peers.apps.pace import due
from benchmarks.peers.apps.temporal_app import QUEUE

STARTS_AT_ONCE = 100
POLL_S = 0.1
NAMESPACE_S = 60.0
RETENTION = timedelta(days=1)


async def main() -> None:
    """Place the orders of one run and print its figures."""
    request = orjson.loads(sys.stdin.buffer.read())
    orders = request["orders"]
    client = await Client.connect(os.environ["BENCH_TEMPORAL"])
    gate = asyncio.Semaphore(STARTS_AT_ONCE)

    async def start(order: dict[str, object]) -> None:
        async with gate:
            await client.start_workflow(
                "order_saga", order, id=str(order["order_id"]), task_queue=QUEUE
            )

    begun = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        async for numbers in due(len(orders), request["rate"]):
            for number in numbers:
                group.create_task(start(orders[number]))
    run = orders[0]["order_id"].partition("-")[0]
    ended = f"WorkflowId STARTS_WITH '{run}-' AND ExecutionStatus != 'Running'"
    while (await client.count_workflows(ended)).count < len(orders):
        await asyncio.sleep(POLL_S)
    seconds = time.perf_counter() - begun
    latencies_s = [
        (one.close_time - one.start_time).total_seconds()
        async for one in client.list_workflows(ended, page_size=1000)
        if one.close_time is not None
    ]
    found = {"seconds": seconds, "latencies_s": latencies_s}
    sys.stdout.buffer.write(orjson.dumps(found))


async def namespace() -> None:
    """Create the default namespace, and wait until every part of the server knows it."""
    request = RegisterNamespaceRequest(namespace="default")
    request.workflow_execution_retention_period.FromTimedelta(RETENTION)
    async with asyncio.timeout(NAMESPACE_S):
        made = False
        while True:
            try:
                client = await Client.connect(os.environ["BENCH_TEMPORAL"])
                if not made:
                    await client.workflow_service.register_namespace(request)
                    made = True
                await client.count_workflows("")
                return
            except (RPCError, RuntimeError):  # server not up, or namespace not known yet
                await asyncio.sleep(POLL_S)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(namespace() if sys.argv[1:] == ["namespace"] else main())
