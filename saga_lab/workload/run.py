"""Places an application's sagas on a running stack, acts as its people, and waits for every end.

A request that fails (a service restarts) is repeated. There is no deadline: a run waits as long as
some saga moves.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import httpx2

from saga_lab.devstack.stack_file import operator_token
from saga_lab.workload.client import AGAIN_S, MONITOR, StackClient
from saga_lab.workload.deadlines import Deadlines
from saga_lab.workload.interface import Workload
from saga_lab.workload.model import Entrance, PlannedSaga, key_of
from saga_lab.workload.outcomes import Progress, SagaOutcome, outcome_of
from sagakit.contract.model import Contract
from sagakit.flow.routing import topic
from sagakit.kafka.publisher import Publisher, PublishFailed
from sagakit.messages.codec import Codec
from sagakit.messages.envelope import OutboxRow

AT_ONCE = 16
CHUNK = 25
ACTIVE = ("unplaced", "running", "waiting", "undoing")
"""Monitor statuses of a saga that has not ended."""
STANDSTILL_S = 240.0
"""Seconds without any progress until the run gives up: longer than any rehearsed outage."""
StackContent = Mapping[str, Any]
"""The content of `stack.json`."""
Pace = Callable[[], Awaitable[None]]
"""Type of a function that is awaited before each saga is placed."""


async def no_pacing() -> None:
    """Return at once: the pace that places sagas as fast as they are accepted."""


class WorkloadRun:
    """Runs `sagas` once. `report_progress` is called while sagas are in flight. With `deadlines`,
    sagas that have to time out are placed first, on near deadlines; the others follow when these
    have ended, on far ones. Without, all run on the monitor's current deadlines.

    `placed_at`, `ended_at`: saga key -> when it was handed over for placing, and when its outcome
    was recorded (`time.monotonic` seconds).
    """

    def __init__(
        self,
        stack: StackContent,
        workload: Workload[Any],
        contract: Contract,
        sagas: Sequence[PlannedSaga],
        report_progress: Callable[[Progress], None] = lambda progress: None,
        *,
        pace: Pace = no_pacing,
        deadlines: Deadlines | None = None,
        standstill_s: float = STANDSTILL_S,
    ) -> None:
        self._urls: Mapping[str, str] = stack["urls"]
        self._token = operator_token(stack)
        self._workload = workload
        self._sagas = sagas
        self._deadlines = deadlines
        self._standstill_s = standstill_s
        self._moved_at = 0.0
        self._seen: object = None
        self._report_progress = report_progress
        self._pace = pace
        self._codec = Codec(contract)
        self._publisher = Publisher(stack["bootstrap_servers"], "workload")
        self._gate, self._looking = asyncio.Semaphore(AT_ONCE), asyncio.Semaphore(AT_ONCE)
        self._placed: dict[str, PlannedSaga] = {}
        self.progress = Progress(len(sagas))
        self.outcomes: dict[str, SagaOutcome] = {}
        self.placed_at: dict[str, float] = {}
        self.ended_at: dict[str, float] = {}

    def run(self) -> list[SagaOutcome]:
        """Prepare, place, act and wait; return the outcomes. If nothing moves for `standstill_s`
        seconds, the outcome of an unfinished saga is its current status at the monitor."""
        return asyncio.run(self._run())

    async def _run(self) -> list[SagaOutcome]:
        async with httpx2.AsyncClient(timeout=10, trust_env=False) as http:
            self._client = StackClient(http, self._urls, self._token)
            self._moved_at = time.monotonic()
            work = asyncio.create_task(self._work())
            while not work.done() and time.monotonic() - self._moved_at < self._standstill_s:
                await asyncio.wait({work}, timeout=1.0)
            if work.done():
                work.result()
            else:
                work.cancel()
                await asyncio.gather(work, return_exceptions=True)
                await self._give_up()
        return [self.outcomes[key_of(saga)] for saga in self._sagas]

    async def _work(self) -> None:
        await self._workload.prepare(self._client, self._sagas)
        if self._deadlines is None:
            await self._play(self._sagas)
            return
        timing_out = [saga for saga in self._sagas if saga.kind.times_out]
        answered = [saga for saga in self._sagas if not saga.kind.times_out]
        for sagas, begin in (
            (timing_out, self._deadlines.near),
            (answered, self._deadlines.far),
        ):
            if sagas:
                await asyncio.to_thread(begin)
                await self._play(sagas)

    async def _play(self, sagas: Sequence[PlannedSaga]) -> None:
        """Place these sagas and wait until they have ended."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch(sagas))
            began = time.monotonic()
            async with asyncio.TaskGroup() as placing:
                due: asyncio.Queue[PlannedSaga | None] = asyncio.Queue()
                placing.create_task(self._publish(due, group))
                for saga in sagas:
                    await self._pace()
                    self.placed_at[key_of(saga)] = time.monotonic()
                    if saga.entrance is Entrance.HTTP:
                        placing.create_task(self._post(saga, group))
                    else:
                        due.put_nowait(saga)
                due.put_nowait(None)
            self.progress.placing_s += time.monotonic() - began

    # --- placing --------------------------------------------------------------------------------

    async def _post(self, saga: PlannedSaga, group: asyncio.TaskGroup) -> None:
        async with self._gate:
            outcome = await self._workload.place(self._client, saga)
        if outcome is not None:
            self._end(SagaOutcome(saga, outcome))
        self._is_placed(saga, group)

    async def _publish(
        self, due: "asyncio.Queue[PlannedSaga | None]", group: asyncio.TaskGroup
    ) -> None:
        """Publish straight to the topic, as an external system does: key, body, flow header."""
        over = False
        while not over:
            waiting = [await due.get()]
            while len(waiting) < CHUNK and not due.empty():
                waiting.append(due.get_nowait())
            over = waiting[-1] is None
            chunk = [saga for saga in waiting if saga is not None]
            events = [row for saga in chunk for row in self._rows(saga)]
            rows = [replace(row, id=n) for n, row in enumerate(events)]
            while True:
                try:
                    await asyncio.to_thread(self._publisher.publish, rows)
                    break
                except PublishFailed:
                    await asyncio.sleep(AGAIN_S)
            for saga in chunk:
                self._is_placed(saga, group)

    def _rows(self, saga: PlannedSaga) -> list[OutboxRow]:
        headers = (("flow", saga.flow.encode()),)
        return [
            OutboxRow(topic(event.owner), saga.saga_id, headers, self._codec.body(event))
            for event in self._workload.start_events(saga)
        ]

    def _is_placed(self, saga: PlannedSaga, group: asyncio.TaskGroup) -> None:
        self._placed[key_of(saga)] = saga
        self.progress.placed += 1
        if key_of(saga) not in self.outcomes:
            group.create_task(self._act(saga))

    async def _act(self, saga: PlannedSaga) -> None:
        """Retry a person's action until it is done or the saga has an outcome."""
        while key_of(saga) not in self.outcomes:
            if await self._workload.act(self._client, saga):
                return
            await asyncio.sleep(AGAIN_S)

    # --- waiting --------------------------------------------------------------------------------

    async def _watch(self, sagas: Sequence[PlannedSaga]) -> None:
        while any(key_of(saga) not in self.outcomes for saga in sagas):
            active = await self._active()
            self._note((self.progress.placed, len(self.outcomes), active))
            ended = [
                s for i, s in self._placed.items() if i not in active and i not in self.outcomes
            ]
            await asyncio.gather(*(self._look(saga) for saga in ended))
            self._tell()
            await asyncio.sleep(AGAIN_S)

    def _note(self, seen: object) -> None:
        """Restart the standstill clock when a saga was placed, has ended, or has a new event."""
        if seen != self._seen:
            self._seen, self._moved_at = seen, time.monotonic()

    async def _active(self) -> dict[str, str]:
        """Map each saga in flight to the time of its last update at the monitor."""
        found: dict[str, str] = {}
        for status in ACTIVE:
            path = f"/sagas?status={status}&limit=10000"
            answer = await self._client.ask(MONITOR, "GET", path)
            found |= {r["saga"]: r["updated_at"] for r in answer.raise_for_status().json()}
        return found

    async def _look(self, saga: PlannedSaga) -> None:
        """Record the outcome of an ended saga once it is settled."""
        async with self._looking:
            seen = await self._client.saga(key_of(saga))
        if seen is None or seen["status"] in ACTIVE:
            return
        if await self._workload.is_settled(self._client, saga, seen):
            self._end(outcome_of(saga, seen))

    def _tell(self) -> None:
        self.progress.ends = Counter(outcome.end for outcome in self.outcomes.values())
        self._report_progress(self.progress)

    async def _give_up(self) -> None:
        """Record the current status of every unfinished saga as its outcome."""
        for saga in self._sagas:
            if key_of(saga) not in self.outcomes:
                try:
                    seen = await asyncio.wait_for(self._client.saga(key_of(saga)), AGAIN_S * 10)
                except TimeoutError:
                    seen = None
                outcome = f"still {seen['status']}" if seen else "never seen"
                self._end(SagaOutcome(saga, outcome))

    def _end(self, outcome: SagaOutcome) -> None:
        self.outcomes.setdefault(key_of(outcome.saga), outcome)
        self.ended_at.setdefault(key_of(outcome.saga), time.monotonic())
        self.progress.ended = len(self.outcomes)
