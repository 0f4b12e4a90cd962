"""Runs the loops of a process: starts them in order, stops them in reverse within one deadline.

A loop asks its `StopSignal` in every turn whether to end, and the asking counts as the turn. So the
age of a loop's last turn is known without a line in the loop; liveness compares it with a bound.
"""

import asyncio
import math
import os
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import structlog

from sagakit.errors import ConfigurationError
from sagakit.stop_signal import Seconds, StopSignal

R = TypeVar("R")
log = structlog.get_logger(__name__)
SIGNALS = (signal.SIGTERM, signal.SIGINT)
TURN_S = 120.0
"""The longest time between two turns of a loop. A turn may wait for a broker's answer twice."""
START_STOP_S = 1.0
"""The longest stop of a process that is still starting: it has nothing in hand."""
LATE_S = 0.8
"""After the deadline and this wait the process ends, even if its event loop is blocked."""


@dataclass(frozen=True)
class Loop:
    """Describes one loop of a process.

    `run` returns once `stop` is set; `wake` interrupts its wait then. `bound_s`: the longest time
    between two turns, None for a loop that is not watched; beyond `ready_s` the process is alive,
    but not ready. `early`: started before the steps of
    the start, which may wait for a database for long.
    """

    name: str
    run: Callable[[], Awaitable[Any]]
    stop: StopSignal = field(default_factory=StopSignal)
    bound_s: float | None = TURN_S
    wake: Callable[[], None] = lambda: None
    early: bool = False
    ready_s: float = math.inf


@dataclass(frozen=True)
class StartStep:
    """Describes one step of a start, run in a thread: `run` may block until its signal is set."""

    name: str
    run: Callable[[StopSignal], Any]


def stalled(loops: Iterable[Loop]) -> dict[str, str]:
    """Return the loops whose last turn is older than their bound, each with its age."""
    return {
        loop.name: f"{loop.name} has made no turn for {age:.0f} s, more than {loop.bound_s:g} s"
        for loop in loops
        if loop.bound_s is not None and (age := loop.stop.age_s()) > loop.bound_s
    }


async def in_thread(name: str, work: Callable[[], R]) -> R:
    """Run `work` in a daemon thread, and return its result.

    Unlike `asyncio.to_thread` it uses no pool, whose blocked threads would keep a process from
    ending.
    """
    loop = asyncio.get_running_loop()
    result: asyncio.Future[R] = loop.create_future()

    def settle(outcome: R | None, error: BaseException | None) -> None:
        if result.done():
            return
        if error is not None:
            result.set_exception(error)
        else:
            result.set_result(outcome)  # type: ignore[arg-type]

    def guarded() -> None:
        outcome: R | None = None
        failure: BaseException | None = None
        try:
            outcome = work()
        except BaseException as error:
            failure = error
        with suppress(RuntimeError):  # the event loop is closed
            loop.call_soon_threadsafe(settle, outcome, failure)

    threading.Thread(target=guarded, name=name, daemon=True).start()
    return await result


@contextmanager
def call_on_signal(hear: Callable[[int], None]) -> Iterator[None]:
    """Call `hear` with the number of each signal of `SIGNALS`, in a thread of its own.

    The interpreter writes the number to the pipe even while the main thread is in a long call.
    """
    numbers, wakeup = os.pipe()
    os.set_blocking(wakeup, False)

    def listen() -> None:
        while number := os.read(numbers, 1):
            if number[0] in SIGNALS:
                hear(number[0])
        os.close(numbers)

    threading.Thread(target=listen, name="signals", daemon=True).start()
    former_wakeup = signal.set_wakeup_fd(wakeup)
    former = {number: signal.signal(number, lambda *_: None) for number in SIGNALS}
    for number in SIGNALS:
        signal.siginterrupt(number, False)
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(former_wakeup)
        os.close(wakeup)


class Lifecycle:
    """Starts, watches and stops the loops of one process. Call `run` once.

    `stages` in the order of the start; the loops of a stage stop side by side. `steps` run before
    the loops that are not early. `close` is awaited after the last loop has ended. `rest_s`: how
    long to wait before the end after the error of a loop, in seconds; a signal ends that wait.
    """

    def __init__(
        self,
        stages: Sequence[Sequence[Loop]],
        *,
        drain_s: float,
        steps: Sequence[StartStep] = (),
        close: Sequence[Callable[[], Awaitable[Any]]] = (),
        rest_s: Callable[[BaseException], float] = lambda error: 0.0,
        clock: Seconds = time.monotonic,
    ) -> None:
        self._stages, self._steps, self._close = stages, steps, close
        self._drain_s, self._rest_s, self._clock = drain_s, rest_s, clock
        self._starting = StopSignal(clock)
        self._tasks: dict[str, asyncio.Task[Any]] = {}
        self._asked, self._ending = asyncio.Event(), asyncio.Event()
        self._phase: str | None = "the process starts"
        self._deadline: float | None = None
        self._watchdog: threading.Timer | None = None
        self._running = False
        self._limiting = threading.Lock()
        self._signalled = False
        self._error: BaseException | None = None
        self._failed = False

    @property
    def loops(self) -> list[Loop]:
        """All loops, in the order of the start."""
        return [loop for stage in self._stages for loop in stage]

    def closed(self) -> str | None:
        """Return why requests are not taken now (starting, stopping), None while running."""
        return self._phase

    def stalled(self) -> dict[str, str]:
        """Return the started loops that are stalled; see `stalled`."""
        return stalled(loop for loop in self.loops if loop.name in self._tasks)

    def missing(self) -> dict[str, str]:
        """Return what this process lacks to be ready: its phase, and loops that do not run."""
        found = {"process": self._phase} if self._phase else {}
        for loop in self.loops:
            task = self._tasks.get(loop.name)
            if task is None or task.done():
                found[loop.name] = f"{loop.name} does not run"
        for loop in self.loops:
            if loop.name in self._tasks and (age := loop.stop.age_s()) > loop.ready_s:
                found[loop.name] = f"{loop.name} stands in one transaction for {age:.0f} s"
        return found | self.stalled()

    def ages(self) -> dict[str, float]:
        """Return the age in seconds of the last turn of each started loop that is watched."""
        return {
            loop.name: loop.stop.age_s()
            for loop in self.loops
            if loop.name in self._tasks and loop.bound_s is not None
        }

    async def run(self) -> int:
        """Run until a signal comes or a loop ends; return the exit status.

        0: ended by a signal, and all loops ended in time. 1: a loop ended by itself, or was still
        running at the deadline; at a start nothing is in hand, so nothing is late. A second signal
        ends the process at once. Raises ConfigurationError if a step of the start raised it.
        """
        events = asyncio.get_running_loop()
        with call_on_signal(lambda number: self._hear(number, events)):
            self._launch(early=True)
            start = asyncio.create_task(self._start())
            start.add_done_callback(self._started)
            await self._ending.wait()
            late = await self._stop(start)
            if isinstance(self._error, ConfigurationError):
                raise self._error
            if self._error is not None:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._asked.wait(), self._rest_s(self._error))
            return 1 if self._failed or late else 0

    def ask(self) -> None:
        """Ask the process to stop. Call it in the event loop."""
        self._asked.set()
        self._ending.set()

    def _hear(self, number: int, events: asyncio.AbstractEventLoop) -> None:
        """Take a signal, in the thread of signals: it limits the stop of a blocked event loop too.

        Nothing here may block, so it writes no log.
        """
        if self._signalled:
            os._exit(128 + number)
        self._signalled = True
        self._limit_stop()
        with suppress(RuntimeError):  # the event loop is closed
            events.call_soon_threadsafe(self.ask)

    def _limit_stop(self) -> None:
        """Let the time that a stop may take begin, if it has not begun."""
        with self._limiting:
            if self._deadline is None:
                stop_s = self._drain_s if self._running else min(self._drain_s, START_STOP_S)
                self._deadline = self._clock() + stop_s
                self._watchdog = threading.Timer(stop_s + LATE_S, os._exit, (1,))
                self._watchdog.daemon = True
                self._watchdog.start()

    def _launch(self, *, early: bool) -> None:
        for loop in self.loops:
            if loop.early is early:
                loop.stop.turn()
                task = asyncio.create_task(_awaited(loop.run()), name=loop.name)
                task.add_done_callback(self._over)
                self._tasks[loop.name] = task

    async def _start(self) -> None:
        for step in self._steps:
            if self._ending.is_set():
                return
            self._phase = f"the process starts: {step.name}"
            await in_thread(step.name, lambda step=step: step.run(self._starting))  # type: ignore[misc]
        if not self._ending.is_set() and not self._signalled:
            self._running = True
            self._launch(early=False)
            self._phase = None
            log.info("running", loops=list(self._tasks))

    def _started(self, start: "asyncio.Task[None]") -> None:
        error = None if start.cancelled() else start.exception()
        if error is not None and not self._asked.is_set():
            self._fail("the start failed", error)

    def _over(self, task: "asyncio.Task[Any]") -> None:
        """Note the end of a loop: before the stop it is a failure, even without an error."""
        error = None if task.cancelled() else task.exception()
        if error is not None or self._deadline is None:
            self._fail(f"loop {task.get_name()} ended", error)

    def _fail(self, text: str, error: BaseException | None) -> None:
        if not isinstance(error, ConfigurationError):
            log.error(text, exc_info=error)
        self._error = self._error or error
        self._failed = True
        self._ending.set()

    async def _stop(self, start: "asyncio.Task[None]") -> list[str]:
        """Stop everything before the deadline; return the loops that still ran at it."""
        self._limit_stop()
        self._phase = "the process stops"
        log.info("stopping", within_s=self._drain_s if self._running else START_STOP_S)
        self._starting.set()
        await self._ended({"start": start})
        late: list[str] = []
        for stage in reversed(self._stages):
            running = {n: t for n in (x.name for x in stage) if (t := self._tasks.get(n))}
            for loop in stage:
                loop.stop.set()
                if loop.name in running:
                    loop.wake()
            late += await self._ended(running)
        for close in self._close:
            closing = asyncio.create_task(_awaited(close()))
            late += await self._ended({"close": closing})
            if closing.done() and (error := closing.exception()):
                log.error("closing failed", exc_info=error)
        if late:
            log.error("still running at the deadline", loops=late, drain_s=self._drain_s)
        if self._watchdog:
            self._watchdog.cancel()
        return late if self._running else []

    async def _ended(self, tasks: Mapping[str, "asyncio.Future[Any]"]) -> list[str]:
        """Wait for tasks until the deadline, then cancel them; return the names of those."""
        assert self._deadline is not None
        if not tasks:
            return []
        left_s = max(self._deadline - self._clock(), 0.0)
        await asyncio.wait(tasks.values(), timeout=left_s)
        late = [name for name, task in tasks.items() if not task.done()]
        for name in late:
            tasks[name].cancel()
        return late


async def _awaited(work: Awaitable[R]) -> R:
    return await work
