"""kill -9 of every process during 100 trips on the real stack loses nothing."""

import json
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from saga_cli.lab.demo_run import options_of
from saga_lab.application import load_application
from saga_lab.devstack.stack import Stack
from saga_lab.invariants import check
from saga_lab.workload.background import RunThread
from saga_lab.workload.deadlines import Deadlines
from saga_lab.workload.run import WorkloadRun
from travel_lab.workload import WORKLOAD
from trips import CONTRACT

TRIP = load_application(Path(__file__).parents[1])
TRIPS = 100
VICTIMS = (*TRIP.databases, *TRIP.outside)
PATIENCE_S = 600.0
"""Ends a test that hangs; no verdict depends on being fast."""


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """The whole stack, in a home of its own and on free ports."""
    running = Stack.up(tmp_path / "trip", TRIP, options_of(TRIP), say=lambda line: None)
    try:
        yield running
    finally:
        running.down()


def until(seen: Callable[[], bool], what: str) -> None:
    """Wait until something is seen."""
    deadline = time.monotonic() + PATIENCE_S
    while not seen():
        assert time.monotonic() < deadline, f"not within {PATIENCE_S:g} s: {what}"
        time.sleep(0.05)


def kill(stack: Stack, name: str) -> None:
    """kill -9 a process; the supervisor starts it again."""
    until(lambda: stack.supervisor.signal(name, signal.SIGKILL) is not None, f"{name} runs")


def test_killing_every_process_loses_nothing(stack: Stack) -> None:
    # Given 100 trips of every kind
    trips = WORKLOAD.sagas("killed", 1, TRIPS)
    run = RunThread(
        WorkloadRun(stack.read(), WORKLOAD, CONTRACT, trips, deadlines=Deadlines(stack))
    )
    # When each process is killed twice on the way
    run.start()
    chance = random.Random(1)
    moments = [(chance.randrange(5, 2 * TRIPS - 30), name) for name in VICTIMS * 2]
    for moment, name in sorted(moments):
        until(lambda m=moment: _reached(run, m), f"moment {moment}")  # type: ignore[misc]
        kill(stack, name)
    outcomes = run.outcomes()
    stack.wait_ready(())
    # Then each trip ends as its kind says, the suppliers' ledgers agree, and every database can be
    # rebuilt from the topics
    wrong = [f"{o.saga.saga_id}: {o.end}" for o in outcomes if not o.as_expected]
    assert wrong == []
    findings = check(stack.read())
    assert {finding.number for finding in findings} >= {1, 2, 5, 6, 7, 8}
    broken = [f"{f.number} {f.title}: {v}" for f in findings for v in f.violations]
    assert broken == [], json.dumps(broken, indent=2)


def _reached(run: RunThread, moment: int) -> bool:
    return run.over or run.progress.placed + run.progress.ended >= moment
