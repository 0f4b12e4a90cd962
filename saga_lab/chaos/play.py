"""Runs the chaos run: load and faults, then wait until idle, then check the invariants."""

import threading
import time
import xmlrpc.client
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import httpx
import psycopg

from saga_lab.chaos.fault import Violation
from saga_lab.chaos.schedule import Planned
from saga_lab.chaos.site import NotReached, Site, until
from saga_lab.devstack.errors import StackError
from saga_lab.invariants import CHECKS, Finding, gather, wait_until_idle
from saga_lab.invariants.rebuilt import same_rows
from saga_lab.invariants.sagas import is_timeout
from saga_lab.workload.outcomes import OrderOutcome

AT_ONCE = 3
"""Number of faults that may be active at the same time."""
TELL_EVERY_S = 0.5
REST_S = 90.0
WRONG = (
    Violation,
    NotReached,
    StackError,
    psycopg.Error,
    httpx.HTTPError,
    xmlrpc.client.Error,
    OSError,
)


@dataclass(slots=True)
class InjectedFault:
    """A fault that was injected. Times are seconds since the load began; None means not (yet).

    `healed_at`: when `heal` returned; `ready_at`: when the target served again; `error`: why the
    fault failed, which counts as a violation.
    """

    planned: Planned
    injected_at: float
    healed_at: float | None = None
    ready_at: float | None = None
    error: str | None = None


@dataclass(slots=True)
class ChaosRun:
    """One chaos run: its progress while it runs, and its result."""

    site: Site
    plan: Sequence[Planned]
    struck: list[InjectedFault] = field(default_factory=list)
    phase: str = "starting"
    outcomes: Sequence[OrderOutcome] = ()
    findings: Sequence[Finding] = ()
    timed_out: frozenset[str] = frozenset()
    moving: str | None = None

    @property
    def on(self) -> list[InjectedFault]:
        """Faults that are active now."""
        return [s for s in self.struck if s.ready_at is None and s.error is None]

    def play(self, told: Callable[[], None]) -> None:
        """Run the whole chaos run. Call `told` in each phase, every 0.5 s while orders run."""
        load = self.site.load
        load.pace.progress = self._injected_share
        load.start()
        until(lambda: load.pace.past_s > 0 or load.over, "the first order is placed")
        self.phase = "orders and faults"
        self._strike(told)
        while not load.over:
            self.phase = "orders" if load.pace.left else "the last orders end"
            told()
            time.sleep(TELL_EVERY_S)
        self.outcomes = load.outcomes()
        self.phase = "waiting until idle"
        told()
        self.site.stack.wait_ready()
        self.moving = wait_until_idle(self.site.content, REST_S)
        self.phase = "the invariants are judged"
        told()
        self._judge(told)
        self.phase = "over"
        told()

    def _injected_share(self) -> float:
        return len(self.struck) / len(self.plan) if self.plan else 1.0

    def _strike(self, told: Callable[[], None]) -> None:
        """Inject every fault at its planned time, or as soon after as its target is free.

        On an error or an interrupt, return only after the active faults were healed.
        """
        left, busy = list(self.plan), set[str]()
        lock, called_off = threading.Lock(), threading.Event()

        def taken() -> Planned | None:
            """Take the first planned fault whose target has no active fault.

            With two on one target, the end of one would be mistaken for the end of the other.
            """
            with lock:
                planned = next((p for p in left if p.target not in busy), None)
                if planned is not None:
                    left.remove(planned)
                    busy.add(planned.target)
                return planned

        def lane() -> None:
            while left and not (self.site.load.over or called_off.is_set()):
                planned = taken()
                if planned is None:
                    called_off.wait(TELL_EVERY_S)
                    continue
                called_off.wait(max(0.0, planned.at_s - self._now()))
                if not (self.site.load.over or called_off.is_set()):
                    struck = InjectedFault(planned, self._now())
                    self.struck.append(struck)
                    self._one(struck)
                with lock:
                    busy.discard(planned.target)

        with ThreadPoolExecutor(AT_ONCE, "faults") as pool:
            lanes = [pool.submit(lane) for _ in range(AT_ONCE)]
            try:
                while not (all(d.done() for d in lanes) or any(map(_failed, lanes))):
                    told()
                    time.sleep(TELL_EVERY_S)
            finally:
                called_off.set()
            for done in lanes:
                done.result()

    def _one(self, struck: InjectedFault) -> None:
        fault = struck.planned.fault
        try:
            try:
                fault.inject(self.site)
                time.sleep(struck.planned.lasts_s)
            finally:
                fault.heal(self.site)
                struck.healed_at = self._now()
            what = f"{struck.planned.target} is ready after {struck.planned.kind.name}"
            until(lambda: fault.healed(self.site), what)
            struck.ready_at = self._now()
        except WRONG as error:
            struck.error = f"{type(error).__name__}: {error}"

    def _judge(self, told: Callable[[], None]) -> None:
        evidence = gather(self.site.content)
        self.timed_out = frozenset(e.order_id for e in evidence.log if is_timeout(e))
        found = []
        for judge in (*(lambda c=c: c(evidence) for c in CHECKS), self._same_rows):
            found.append(judge())
            self.findings = sorted(found, key=lambda finding: finding.number)
            told()

    def _same_rows(self) -> Finding:
        return same_rows(self.site.content)

    def _now(self) -> float:
        return round(self.site.load.pace.past_s, 2)


def _failed(lane: Future[None]) -> bool:
    """Return True if a lane raised: the chaos run itself is broken, its results are worthless."""
    return lane.done() and lane.exception() is not None
