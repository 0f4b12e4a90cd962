"""Shares the partition numbers of a replay among processes, each with one connection.

A worker gets the next number when it has finished one. It writes to its pipe after each
transaction, so it ends with its next one when the process that started it is gone.
"""

import multiprocessing
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from saga_monitor.replay.pipeline import FoldCounts, MonitorAccess, Replay, by_partition
from saga_monitor.replay.source import ReplayPlan
from saga_monitor.replay.target import Shadow
from sagakit.errors import SagaError
from sagakit.garbage_collection import tune_gc
from sagakit.replay_mode import replaying

LOOK_EVERY_S = 0.5
"""The longest time between two notes of progress."""


class ReplayFailed(SagaError):
    """A replay ended early; run again, it goes on where it stopped."""


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """Holds what a person asks for, as written; the same request goes on with the same shadow."""

    begin: str = "earliest"
    end: str = "now"
    saga: str | None = None
    flow: str | None = None
    topics: tuple[str, ...] | None = None
    archive: str | None = None

    def written(self) -> dict[str, Any]:
        """Return the request in the form that a shadow keeps."""
        topics = ",".join(self.topics) if self.topics else None
        texts = {"from": self.begin, "to": self.end, "saga": self.saga, "flow": self.flow}
        return {**texts, "topics": topics, "archive": self.archive}


@dataclass(frozen=True, slots=True)
class ReplayProgress:
    """How far a replay is.

    offsets, left: passed in this run, and still to be read; elapsed_s: since this run began;
    memory_bytes: of all its processes now.
    """

    done: FoldCounts
    left: int
    elapsed_s: float
    memory_bytes: int

    @property
    def rate(self) -> float:
        """Return records a second."""
        return self.done.records / self.elapsed_s if self.elapsed_s else 0.0

    @property
    def remaining_s(self) -> float | None:
        """Return the seconds that the rest takes at the present rate; None before the first."""
        if not self.left:
            return 0.0
        passed = self.done.offsets
        return self.left * self.elapsed_s / passed if passed else None


Note = Callable[[ReplayProgress], None]


def replay(
    access: MonitorAccess,
    shadow: Shadow,
    request: ReplayRequest,
    plan: ReplayPlan,
    *,
    workers: int,
    restart: bool = False,
    note: Note = lambda _: None,
) -> ReplayProgress:
    """Replay what is planned into the shadow, or what is left of it, and finish the shadow.

    Raises ShadowRefused if another replay writes into it or it was made by another request,
    RecordsGone, and ReplayFailed for what a worker ended with.
    """
    with replaying(), shadow.alone():
        shadow.begin(request.written(), plan, restart=restart)
        left = shadow.remaining()
        numbers, offsets = list(by_partition(left)), sum(span.offsets for span in left.values())
        count = Counting(offsets, note)
        with _started(access, shadow, request, min(workers, len(numbers))) as pool:
            deal(pool, numbers, count)
        if shadow.remaining():
            raise ReplayFailed("the log did not bring all that was planned; run it again")
        shadow.finish()
        return count.tell()


class Counting:
    """Adds up what the workers report, and notes how far the replay is.

    offsets: still to be read at first.
    """

    def __init__(self, offsets: int, note: Note) -> None:
        self._offsets, self._note, self._began_s = offsets, note, time.monotonic()
        self._done, self._memory = FoldCounts(), dict[int, int]()

    def add(self, worker: int, step: FoldCounts, memory: int) -> None:
        """Add what one transaction of a worker has brought; memory: of its process now."""
        self._done += step
        self._memory[worker] = memory

    def tell(self) -> ReplayProgress:
        """Note the progress and return it."""
        memory = memory_bytes() + sum(self._memory.values())
        elapsed_s = time.monotonic() - self._began_s
        left = self._offsets - self._done.offsets
        progress = ReplayProgress(self._done, left, elapsed_s, memory)
        self._note(progress)
        return progress


@contextmanager
def _started(
    access: MonitorAccess, shadow: Shadow, request: ReplayRequest, number: int
) -> Iterator[Sequence[Connection]]:
    """Start the workers, and end them whatever happens."""
    context = multiprocessing.get_context("spawn")
    pipes, processes = [], []
    try:
        for _ in range(number):
            ours, theirs = context.Pipe()
            arguments = (theirs, access, shadow.name, request.saga, request.flow)
            process = context.Process(target=work, args=arguments, daemon=True)
            process.start()
            theirs.close()
            pipes.append(ours)
            processes.append(process)
        yield pipes
    finally:
        for pipe in pipes:
            pipe.close()
        for process in processes:
            process.terminate()
            process.join()


def deal(pool: Sequence[Connection], numbers: Sequence[int], count: Counting) -> None:
    """Hand out the numbers and count until all are done.

    Raises what a worker ended with, ReplayFailed for one that was killed.
    """
    waiting, working = list(numbers), list(pool)
    while working:
        for pipe in wait(working, LOOK_EVERY_S):
            assert isinstance(pipe, Connection)
            try:
                message = pipe.recv()
                if message is None:  # it is free
                    number = waiting.pop(0) if waiting else None
                    pipe.send(number)
                    if number is None:
                        working.remove(pipe)
            except (EOFError, ConnectionError):
                raise ReplayFailed(
                    "a worker was ended, perhaps for want of memory; run again, the replay goes on "
                    "where it stopped"
                ) from None
            if isinstance(message, BaseException):
                raise message
            if message is not None:
                count.add(id(pipe), *message)
        count.tell()


def work(
    pipe: Connection, access: MonitorAccess, shadow: str, saga: str | None, flow: str | None
) -> None:
    """Fold the numbers that the pipe brings until it brings None. Runs in a process of its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that started it ends it
    try:
        with replaying():
            one = Replay(access, Shadow(access.database_url, shadow), saga=saga, flow=flow)
            tune_gc()
            pipe.send(None)
            while (number := pipe.recv()) is not None:
                one.run_unit(number, lambda step: pipe.send((step, memory_bytes())))
                pipe.send(None)
    except (EOFError, ConnectionError):  # the process that started it is gone
        sys.exit(1)
    except SagaError as error:
        pipe.send(error)
    except Exception as error:
        pipe.send(ReplayFailed(f"{type(error).__name__}: {error}; run again, it goes on"))


def memory_bytes() -> int:
    """Return the memory of this process; its largest so far where the system does not tell more."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
