"""Partition numbers are shared among workers, each of which is heard until it has no more."""

import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection

import pytest

from saga_monitor.replay.pipeline import FoldCounts
from saga_monitor.replay.target import ShadowRefused
from saga_monitor.replay.workers import Counting, ReplayFailed, deal
from sagakit.errors import SagaError

NUMBERS = list(range(7))
STEP = FoldCounts(records=10, events=9, unreadable=1, bytes=100, offsets=11)


def run(workers: int, behave: Callable[[Connection, int], None]) -> tuple[Counting, list[int]]:
    """Deal the numbers out to threads; `behave` is what a worker does with a number."""
    done: list[int] = []

    def work(pipe: Connection) -> None:
        with suppress(EOFError, OSError):  # the other end is gone, or this one was closed
            pipe.send(None)
            while (number := pipe.recv()) is not None:
                behave(pipe, number)
                done.append(number)
                pipe.send(None)

    count = Counting(len(NUMBERS) * STEP.offsets, lambda _: None)
    pool = []
    for _ in range(workers):
        ours, theirs = Pipe()
        pool.append(ours)
        threading.Thread(target=work, args=(theirs,), daemon=True).start()
    deal(pool, NUMBERS, count)
    return count, done


@pytest.mark.parametrize("workers", [1, 3])
def test_each_number_is_folded_once_and_counted(workers: int) -> None:
    count, done = run(workers, lambda pipe, _: pipe.send((STEP, 1_000)))
    found = count.tell()
    assert sorted(done) == NUMBERS
    assert found.done == FoldCounts(70, 63, 7, 700, 77)
    assert (found.left, found.remaining_s) == (0, 0.0)


def test_a_worker_that_was_killed_ends_the_replay() -> None:
    def die(pipe: Connection, number: int) -> None:
        if number == 3:
            pipe.close()

    with pytest.raises(ReplayFailed, match="a worker was ended"):
        run(2, die)


@pytest.mark.parametrize("error", [ShadowRefused("another replay writes"), ReplayFailed("disk")])
def test_an_error_of_a_worker_is_the_error_of_the_replay(error: SagaError) -> None:
    with pytest.raises(type(error), match=str(error)):
        run(2, lambda pipe, number: pipe.send(error) if number == 2 else None)
