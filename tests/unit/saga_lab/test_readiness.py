"""Whoever waits for a process waits as long as it moves, and says why when it does not."""

import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from saga_lab.devstack.errors import StackError
from saga_lab.devstack.progress import ProcessProgress, cpu_s
from saga_lab.devstack.readiness import ProcessInfo, await_ready

STANDSTILL_S = 0.3


@contextmanager
def python(program: str) -> Iterator[int]:
    """A process that runs this; its id."""
    process = subprocess.Popen([sys.executable, "-c", program])
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


def info(log: Path, state: str = "RUNNING", pid: int | None = 1) -> ProcessInfo:
    return ProcessInfo("payment", state, pid, log, "detail")


def test_a_process_that_makes_no_progress_is_named_with_its_reason_and_its_log(
    tmp_path: Path,
) -> None:
    log = tmp_path / "payment.log"
    log.write_text("waiting for a database\n")
    with pytest.raises(StackError) as error:
        await_ready(
            {"payment": lambda: "no database"},
            lambda: {"payment": info(log)},
            standstill_s=STANDSTILL_S,
        )
    words = ("payment did not become ready", "nothing of it has moved for 0.3 s", "no database")
    assert all(word in str(error.value) for word in (*words, "waiting for a database"))


def test_a_process_that_logs_new_lines_is_waited_for(tmp_path: Path) -> None:
    log = tmp_path / "payment.log"
    looks = 0

    def probe() -> str | None:
        nonlocal looks
        looks += 1
        with log.open("a") as file:
            file.write(f"{'x' * looks} is done\n")
        return None if looks * 0.1 > 4 * STANDSTILL_S else "starting"

    await_ready({"payment": probe}, lambda: {"payment": info(log)}, standstill_s=STANDSTILL_S)


def test_the_same_log_line_again_and_again_is_no_progress(tmp_path: Path) -> None:
    log = tmp_path / "payment.log"
    looks = 0

    def probe() -> str | None:
        nonlocal looks
        looks += 1
        with log.open("a") as file:
            file.write(f"12:00:{looks:02d} cannot connect, attempt {looks}, id 0{looks}ffab12cd\n")
        return "starting"

    with pytest.raises(StackError, match="nothing of it has moved"):
        await_ready({"payment": probe}, lambda: {"payment": info(log)}, standstill_s=STANDSTILL_S)


@pytest.mark.parametrize(
    "states",
    [
        [("RUNNING", 1), ("EXITED", None), ("RUNNING", 2), ("RUNNING", 3), ("RUNNING", 4)],
        [("STARTING", None), ("BACKOFF", None)] * 5,
    ],
    ids=["another process each time", "none comes up at all"],
)
def test_one_that_keeps_exiting_is_not_waited_for(
    tmp_path: Path, states: list[tuple[str, int | None]]
) -> None:
    seen = deque(states)

    def processes() -> dict[str, ProcessInfo]:
        state, pid = seen.popleft() if len(seen) > 1 else seen[0]
        return {"payment": info(tmp_path / "payment.log", state, pid)}

    with pytest.raises(StackError, match="it keeps exiting"):
        await_ready({"payment": lambda: "down"}, processes)


def test_a_process_in_an_endless_loop_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("saga_lab.devstack.progress._MOST_CPU_S", 0.2)
    with python("while True: pass") as pid:
        spinning = info(tmp_path / "payment.log", pid=pid)
        with pytest.raises(StackError, match="uses the processor without end"):
            await_ready({"payment": lambda: "starting"}, lambda: {"payment": spinning})


def test_a_frozen_process_that_ran_for_long_is_not_taken_for_an_endless_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("saga_lab.devstack.progress._MOST_CPU_S", 0.2)
    with python("while True: pass") as pid:
        until_used(pid, 0.5)
        os.kill(pid, signal.SIGSTOP)
        stopped = info(tmp_path / "payment.log", pid=pid)
        with pytest.raises(StackError, match="nothing of it has moved"):
            await_ready(
                {"payment": lambda: "starting"},
                lambda: {"payment": stopped},
                standstill_s=STANDSTILL_S,
            )


def test_a_process_that_uses_the_processor_makes_progress_and_a_sleeping_one_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("saga_lab.devstack.progress._WINDOW_S", 0.2)
    with python("while True: pass") as busy, python("import time; time.sleep(600)") as asleep:
        moving, still = (ProcessProgress(tmp_path / "no.log") for _ in "ab")
        moving.update("RUNNING", pid=busy)
        until_used(asleep, 0.001)
        still.update("RUNNING", pid=asleep)
        began = moving.since, still.since
        until_used(busy, 1.5)
        for _ in range(2):  # the first window of one that ran before counts all it ever used
            moving.update("RUNNING", pid=busy)
            still.update("RUNNING", pid=asleep)
            was = still.since
            until_used(busy, cpu_s(busy)[0] + 0.5)
        still.update("RUNNING", pid=asleep)
        assert moving.since > began[0]
        assert still.since == was


def until_used(pid: int, seconds: float) -> None:
    """Wait until a process has run for as long."""
    while cpu_s(pid)[0] < seconds:
        pass


def test_a_process_that_is_gone_wants_nothing() -> None:
    assert cpu_s(2**22 + 1) == (0.0, 0.0)


def test_no_more_start_side_by_side_than_are_allowed(tmp_path: Path) -> None:
    started: list[str] = []
    ready: set[str] = set()
    most = 0

    def start(name: str) -> None:
        nonlocal most
        started.append(name)
        most = max(most, len(set(started) - ready))

    def probe(name: str) -> str | None:
        if len(started) >= min(4, len(ready) + 2):
            ready.add(name)
        return None if name in ready else "starting"

    names = ["kafka", "payment", "order", "shipping"]
    probes = {name: (lambda n=name: probe(n)) for name in names}
    await_ready(probes, dict, start, at_once=2)
    assert started == names
    assert most == 2
