"""Loops start in order and stop in reverse, within one deadline; what stands is named."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from httpx2 import ASGITransport, AsyncClient

from sagakit.errors import ConfigurationError, TopicRecreated
from sagakit.service import lifecycle as lifecycle_module
from sagakit.service.lifecycle import Lifecycle, Loop, StartStep, in_thread, stalled
from sagakit.service.process import session_rest_s, thread_loop
from sagakit.stop_signal import StopSignal
from sagakit.web.app import make_app
from tests.stack import PATIENCE_S


class Clock:
    """A monotonic clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


async def nothing() -> None:
    """A loop that ends at once."""


def polling(calls: list[str], name: str) -> Loop:
    """A thread that asks its signal in each turn."""

    def run(stop: StopSignal) -> None:
        calls.append(f"{name} starts")
        while not stop.is_set():
            stop.wait(0.01)
        calls.append(f"{name} ends")

    return thread_loop(name, run)


def after(seconds: float, work: Callable[[], object]) -> None:
    """Do something once the event loop runs."""
    asyncio.get_running_loop().call_later(seconds, work)


async def stopped(lifecycle: Lifecycle, seconds: float = 0.1) -> int:
    """Run it, and ask it to stop after a while."""
    after(seconds, lifecycle.ask)
    return await lifecycle.run()


def test_a_loop_is_stalled_once_its_last_turn_is_older_than_its_bound() -> None:
    clock = Clock()
    quick, slow, free = (StopSignal(clock) for _ in range(3))
    loops = [
        Loop("quick", nothing, quick, bound_s=10.0),
        Loop("slow", nothing, slow, bound_s=60.0),
        Loop("free", nothing, free, bound_s=None),
    ]
    clock.now_s += 10
    assert stalled(loops) == {}
    clock.now_s += 1
    assert stalled(loops) == {"quick": "quick has made no turn for 11 s, more than 10 s"}
    assert not quick.is_set()
    assert stalled(loops) == {}, "asking whether to end is a turn"
    clock.now_s += 100
    assert set(stalled(loops)) == {"quick", "slow"}
    quick.set()
    assert quick.wait(1.0)
    assert set(stalled(loops)) == {"slow"}, "waiting for the end is a turn"


def test_who_asks_for_others_than_the_loop_counts_no_turn() -> None:
    clock = Clock()
    stop = StopSignal(clock)
    clock.now_s += 100
    assert not stop.event.is_set()
    assert not stop.event.wait(0)
    assert stop.age_s() == 100
    stop.set()
    assert stop.event.wait(0), "it is set with the signal"
    assert stop.age_s() == 100


def test_loops_start_in_order_and_stop_in_reverse() -> None:
    calls: list[str] = []
    stages = [[polling(calls, "relay")], [polling(calls, "consumer")]]
    steps = [StartStep("tables", lambda stop: calls.append("tables"))]
    assert asyncio.run(stopped(Lifecycle(stages, drain_s=5, steps=steps))) == 0
    assert calls[0] == "tables"
    assert set(calls[1:3]) == {"relay starts", "consumer starts"}
    assert calls[3:] == ["consumer ends", "relay ends"]


def test_an_early_loop_runs_during_the_start_and_is_stopped_at_the_end() -> None:
    calls: list[str] = []
    early = polling(calls, "http")
    early = Loop(early.name, early.run, early.stop, early=True)

    def waits(stop: StopSignal) -> None:
        calls.append("waits")
        stop.wait(30)

    lifecycle = Lifecycle(
        [[early], [polling(calls, "consumer")]], drain_s=5, steps=[StartStep("the database", waits)]
    )

    async def run() -> int:
        after(0.1, lambda: seen.update(lifecycle.missing()))
        return await stopped(lifecycle, 0.2)

    seen: dict[str, str] = {}
    assert asyncio.run(run()) == 0
    assert seen == {
        "process": "the process starts: the database",
        "consumer": "consumer does not run",
    }
    assert "consumer starts" not in calls
    assert calls[-1] == "http ends"


def test_one_deadline_holds_for_all_loops_that_do_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    forever, waits_s, wait = threading.Event(), list[float](), asyncio.wait

    async def measured(tasks: Any, *, timeout: float) -> Any:
        waits_s.append(timeout)
        return await wait(tasks, timeout=timeout)

    monkeypatch.setattr(asyncio, "wait", measured)
    monkeypatch.setattr(lifecycle_module, "LATE_S", PATIENCE_S)
    deaf = [[thread_loop(name, lambda stop: bool(forever.wait()) and None)] for name in "abc"]
    assert asyncio.run(stopped(Lifecycle(deaf, drain_s=0.5))) == 1
    _, *for_loops_s = waits_s
    assert len(for_loops_s) == 3
    assert sum(for_loops_s) < 2 * 0.5, "three loops, one deadline"
    forever.set()


def test_a_loop_that_dies_ends_the_process() -> None:
    calls: list[str] = []

    def dies(stop: StopSignal) -> None:
        raise RuntimeError("broken")

    lifecycle = Lifecycle([[polling(calls, "relay")], [thread_loop("x", dies)]], drain_s=5)
    assert asyncio.run(lifecycle.run()) == 1
    assert calls == ["relay starts", "relay ends"]


def test_a_loop_that_ends_unasked_ends_the_process() -> None:
    assert asyncio.run(Lifecycle([[Loop("x", nothing)]], drain_s=5).run()) == 1


def test_a_step_that_fails_ends_the_process() -> None:
    def wrong(error: Exception) -> Lifecycle:
        def fail(stop: StopSignal) -> None:
            raise error

        return Lifecycle([[polling([], "a")]], drain_s=5, steps=[StartStep("tables", fail)])

    assert asyncio.run(wrong(RuntimeError("no")).run()) == 1
    with pytest.raises(ConfigurationError, match="SAGA_X"):
        asyncio.run(wrong(ConfigurationError("SAGA_X")).run())


def test_a_signal_ends_the_rest_after_an_error() -> None:
    def recreated(stop: StopSignal) -> None:
        raise TopicRecreated("t")

    assert session_rest_s(TopicRecreated("t")) > 10
    assert session_rest_s(RuntimeError()) == 0
    lifecycle = Lifecycle([[thread_loop("x", recreated)]], drain_s=5, rest_s=lambda _: PATIENCE_S)
    began = time.monotonic()
    assert asyncio.run(stopped(lifecycle, 0.3)) == 1
    assert time.monotonic() - began < PATIENCE_S


def status_of(lifecycle: Callable[[], Awaitable[int]]) -> int:
    """The exit status of a process that runs a lifecycle."""
    pid = os.fork()
    if pid == 0:
        os._exit(asyncio.run(lifecycle()))  # type: ignore[arg-type]
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def terminate() -> None:
    """Send this process a signal."""
    os.kill(os.getpid(), signal.SIGTERM)


def test_a_second_signal_ends_the_process_at_once() -> None:
    async def twice() -> int:
        forever = threading.Event()
        loop = thread_loop("a", lambda stop: bool(forever.wait()) and None)
        for seconds in (0.2, 0.4):
            after(seconds, terminate)
        return await Lifecycle([[loop]], drain_s=99).run()

    assert status_of(twice) == 128 + signal.SIGTERM


@pytest.mark.parametrize(
    ("signals", "drain_s", "status"), [(1, 0.5, 1), (2, PATIENCE_S, 128 + signal.SIGTERM)]
)
def test_a_blocked_event_loop_hears_signals_too(
    monkeypatch: pytest.MonkeyPatch, signals: int, drain_s: float, status: int
) -> None:
    # Given an event loop that a call blocks for longer than a stop may take
    async def blocks() -> None:
        for _ in range(signals):
            terminate()
            time.sleep(0.1)
        time.sleep(PATIENCE_S)

    async def run() -> int:
        return await Lifecycle([[Loop("x", blocks)]], drain_s=drain_s).run()

    # When a signal comes, then the process ends at the deadline; a second one ends it at once
    monkeypatch.setattr(lifecycle_module, "LATE_S", 0.1)
    began = time.monotonic()
    assert status_of(run) == status
    assert time.monotonic() - began < PATIENCE_S


def test_liveness_names_the_stalled_loop_and_readiness_what_is_missing() -> None:
    clock = Clock()
    ends = asyncio.Event()

    def loop(name: str, run: Callable[[], Awaitable[object]]) -> Loop:
        return Loop(name, run, StopSignal(clock), bound_s=10.0, wake=ends.set)

    async def ask() -> list[tuple[int, object]]:
        lifecycle = Lifecycle([[loop("consumer", ends.wait)]], drain_s=5)
        app = make_app("shop", {}, health=lifecycle)
        async with AsyncClient(transport=ASGITransport(app), base_url="http://shop") as client:

            async def look(path: str) -> tuple[int, object]:
                answer = await client.get(f"/health/{path}")
                return answer.status_code, answer.json()["wrong"]

            found = [await look("ready")]
            running = asyncio.create_task(lifecycle.run())
            while lifecycle.missing():
                await asyncio.sleep(0.01)
            found += [await look("ready"), await look("live")]
            clock.now_s += 11
            found += [await look("live"), await look("ready")]
            lifecycle.ask()
            assert await running == 0
        return found

    stands = {"consumer": "consumer has made no turn for 11 s, more than 10 s"}
    assert asyncio.run(ask()) == [
        (503, {"process": "the process starts", "consumer": "consumer does not run"}),
        (200, {}),
        (200, {}),
        (503, stands),
        (503, stands),
    ]


def test_what_a_thread_raises_is_raised_where_it_is_awaited() -> None:
    def fails() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        asyncio.run(in_thread("x", fails))
    assert asyncio.run(in_thread("x", lambda: 7)) == 7
