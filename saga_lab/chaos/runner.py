"""Executes a chaos run: load and faults, then wait until idle, then check the invariants."""

import threading
import time
import xmlrpc.client
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import httpx2
import psycopg

from saga_lab.chaos.fault import Violation
from saga_lab.chaos.schedule import PlannedFault
from saga_lab.chaos.site import NotReached, Site, until
from saga_lab.devstack.errors import StackError
from saga_lab.invariants import Finding, checks_of, gather, wait_until_idle
from saga_lab.invariants.sagas import is_timeout
from saga_lab.workload.outcomes import SagaOutcome

MAX_ACTIVE = 3
"""Number of faults that may be active at the same time."""
PROGRESS_EVERY_S = 0.5
IDLE_WITHIN_S = 90.0
FAULT_ERRORS = (
    Violation,
    NotReached,
    StackError,
    psycopg.Error,
    httpx2.HTTPError,
    xmlrpc.client.Error,
    OSError,
)


@dataclass(slots=True)
class InjectedFault:
    """A fault that was injected. Times are seconds since the load began; None means not (yet).

    `healed_at`: when `heal` returned; `ready_at`: when the target served again; `error`: why the
    fault failed, which counts as a violation.
    """

    planned: PlannedFault
    injected_at: float
    healed_at: float | None = None
    ready_at: float | None = None
    error: str | None = None


@dataclass(slots=True)
class ChaosRun:
    """One chaos run: its progress while it runs, and its result.

    `faults`: the injected ones, in order of injection; `activity`: why the system was not idle at
    the end, None if it was.
    """

    site: Site
    plan: Sequence[PlannedFault]
    faults: list[InjectedFault] = field(default_factory=list)
    phase: str = "starting"
    outcomes: Sequence[SagaOutcome] = ()
    findings: Sequence[Finding] = ()
    timed_out: frozenset[str] = frozenset()
    activity: str | None = None

    @property
    def active(self) -> list[InjectedFault]:
        """Faults that are active now."""
        return [f for f in self.faults if f.ready_at is None and f.error is None]

    def execute(
        self,
        on_progress: Callable[[], None],
        meanwhile: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """Execute the run. Call `on_progress` in each phase, every 0.5 s while sagas run.

        meanwhile: what goes on until the last saga has ended.
        """
        with meanwhile():
            self._run_load(on_progress)
        self.phase = "waiting until idle"
        on_progress()
        self.site.stack.wait_ready()
        self.activity = wait_until_idle(self.site.content, IDLE_WITHIN_S)
        self.phase = "checking the invariants"
        on_progress()
        self._check_invariants(on_progress)
        self.phase = "finished"
        on_progress()

    def _run_load(self, on_progress: Callable[[], None]) -> None:
        load = self.site.load
        load.pace.progress = self._injected_share
        load.start()
        until(lambda: load.pace.past_s > 0 or load.over, "the first saga is placed")
        self.phase = "placing sagas, injecting faults"
        self._inject_all(on_progress)
        while not load.over:
            self.phase = "placing sagas" if load.pace.left else "waiting for the last sagas"
            on_progress()
            time.sleep(PROGRESS_EVERY_S)
        self.outcomes = load.outcomes()

    def _injected_share(self) -> float:
        return len(self.faults) / len(self.plan) if self.plan else 1.0

    def _inject_all(self, on_progress: Callable[[], None]) -> None:
        """Inject every fault at its planned time, or as soon after as its target is free.

        On an error or an interrupt, return only after the active faults were healed.
        """
        remaining, busy = list(self.plan), set[str]()
        lock, stop = threading.Lock(), threading.Event()

        def take() -> PlannedFault | None:
            """Take the first planned fault whose target has no active fault.

            With two on one target, the end of one would be mistaken for the end of the other.
            """
            with lock:
                planned = next((p for p in remaining if p.target not in busy), None)
                if planned is not None:
                    remaining.remove(planned)
                    busy.add(planned.target)
                return planned

        def work() -> None:
            while remaining and not (self.site.load.over or stop.is_set()):
                planned = take()
                if planned is None:
                    stop.wait(PROGRESS_EVERY_S)
                    continue
                stop.wait(max(0.0, planned.at_s - self._now()))
                if not (self.site.load.over or stop.is_set()):
                    injected = InjectedFault(planned, self._now())
                    self.faults.append(injected)
                    self._inject(injected)
                with lock:
                    busy.discard(planned.target)

        with ThreadPoolExecutor(MAX_ACTIVE, "faults") as pool:
            workers = [pool.submit(work) for _ in range(MAX_ACTIVE)]
            try:
                while not (all(w.done() for w in workers) or any(map(_failed, workers))):
                    on_progress()
                    time.sleep(PROGRESS_EVERY_S)
            finally:
                stop.set()
            for worker in workers:
                worker.result()

    def _inject(self, injected: InjectedFault) -> None:
        planned, fault = injected.planned, injected.planned.fault
        try:
            try:
                fault.inject(self.site)
                time.sleep(planned.lasts_s)
            finally:
                fault.heal(self.site)
                injected.healed_at = self._now()
            ready = f"{planned.target} is ready after {planned.kind.name}"
            until(lambda: fault.healed(self.site), ready)
            injected.ready_at = self._now()
        except FAULT_ERRORS as error:
            injected.error = f"{type(error).__name__}: {error}"

    def _check_invariants(self, on_progress: Callable[[], None]) -> None:
        evidence = gather(self.site.content)
        self.timed_out = frozenset(e.saga for e in evidence.log if is_timeout(e))
        for check in checks_of(self.site.content, evidence):
            self.findings = sorted((*self.findings, check()), key=lambda f: f.number)
            on_progress()

    def _now(self) -> float:
        return round(self.site.load.pace.past_s, 2)


def _failed(worker: Future[None]) -> bool:
    """Return True if a worker raised: the run itself is broken, and its results are worthless."""
    return worker.done() and worker.exception() is not None
