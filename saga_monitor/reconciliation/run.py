"""Run a reconciliation: fetch all books, wait for the watermark, compare, and emit corrections.

A run changes no books itself: each correction becomes an event, through the outbox, under an id
derived from the finding. Two runs, one after the other or at once, emit it once.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import structlog
from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from saga_monitor.operations.desk import Desk
from saga_monitor.reconciliation.compare import SKU, Difference, Remedy, compare
from saga_monitor.reconciliation.sources import BookReader, SourceUnavailable, orders, together
from saga_monitor.saga.commands import CommandRefused
from saga_monitor.saga.deadlines import Emission
from saga_monitor.saga.facts import SOURCE, Saga, emission_id
from saga_monitor.saga.view import SagaView
from sagakit.errors import BadKey
from sagakit.flow.model import Flow
from sagakit.messages.codec import order_key
from sagakit.web.app import problem
from schemas.events import ChargeFound, InterventionOpened

log = structlog.get_logger(__name__)
SETTLE_S = 300.0
READ_ON_S = 60.0
"""The longest wait for the watermark to advance."""
HELP = {
    "saga_reconciliation_findings": "Differences that the last reconciliation found, by kind",
    "saga_reconciliation_age_s": "Seconds since the last reconciliation that could be made",
}


class Remediation(StrEnum):
    """The action taken on a finding.

    `told`: the participant whose books they are is told by an event; `case`: an intervention is
    opened; `moved`: the order has moved on meanwhile, and the next run judges it again;
    `reported`: the subject is no order, so the report is all.
    """

    NOTHING = "nothing: not asked to"
    TOLD = "told"
    CASE = "case"
    MOVED = "moved"
    REPORTED = "reported"


class ReconciliationRequest(BaseModel):
    """The body of a request to reconcile.

    fix: emit corrections, not only a report; settle_s: how long an order must have been quiet, in
    log time.
    """

    fix: bool = False
    settle_s: float = Field(default=SETTLE_S, ge=0, le=30 * 86400)


@dataclass(frozen=True, slots=True)
class ReportLine:
    """One finding of a report."""

    kind: str
    subject: str
    what: str
    remedy: str
    deed: str


@dataclass(frozen=True, slots=True)
class ReconciliationReport:
    """The result of a run.

    before: an order must have no event after this log time to be judged; read_through: log time up
    to which the log was read; judged, unsettled: numbers of orders.
    """

    fix: bool
    before: datetime
    read_through: datetime
    judged: int
    unsettled: int
    findings: tuple[ReportLine, ...]


class Reconciler:
    """Runs reconciliations, one at a time, and keeps the last report for the gauges.

    `tick` returns the log time of the watch's last tick, `Desk.log_time` the watermark.
    """

    def __init__(
        self,
        desk: Desk,
        participants: Mapping[str, str],
        tick: Callable[[], datetime | None],
        now: Callable[[], datetime],
    ) -> None:
        self._desk, self._tick, self._now = desk, tick, now
        self._shop = BookReader(participants)
        self._one_at_a_time = threading.Lock()
        self._last: tuple[datetime, ReconciliationReport] | None = None

    def run(self, asked: ReconciliationRequest) -> ReconciliationReport:
        """Run once and return the report. Raises SourceUnavailable."""
        with self._one_at_a_time:
            began = self._desk.log_time()
            if began is None:
                raise SourceUnavailable(
                    "the monitor has not read the log to its end yet; try again"
                )
            before = began - timedelta(seconds=asked.settle_s)
            found = self._shop.read()
            through = self._read_on()
            compared = compare(together(found, orders(self._desk.engine, before)))
            lines = tuple(self._line(f, before, through, asked.fix) for f in compared.findings)
            report = ReconciliationReport(
                asked.fix, before, through, compared.judged, compared.unsettled, lines
            )
            self._last = self._now(), report
        return report

    def _read_on(self) -> datetime:
        """Wait until the log is read up to a tick taken after this call; return the watermark.

        The first new tick may have been under way at the call; the second was not. Raises
        SourceUnavailable.
        """
        deadline = time.monotonic() + READ_ON_S
        seen: list[datetime | None] = [self._tick()]
        while time.monotonic() < deadline:
            tick, through = self._tick(), self._desk.log_time()
            if tick != seen[-1] and len(seen) < 3:
                seen.append(tick)
            wanted = seen[2] if len(seen) == 3 else None
            if wanted and through and through >= wanted:
                return through
            time.sleep(0.05)
        raise SourceUnavailable("the monitor is behind the log, or has no broker; try again")

    # --- corrections ----------------------------------------------------------------------------

    def _line(
        self, found: Difference, before: datetime, through: datetime, fix: bool
    ) -> ReportLine:
        deed = self._deed(found, before, through) if fix else Remediation.NOTHING
        log.warning(
            "difference", kind=found.kind, subject=found.subject, what=found.what, deed=deed
        )
        return ReportLine(found.kind, found.subject, found.what, found.remedy.value, deed.value)

    def _deed(self, found: Difference, before: datetime, through: datetime) -> Remediation:
        try:
            order_key(found.subject.encode())
        except BadKey:
            return Remediation.REPORTED  # no order can have this id, so it can have no intervention
        if found.subject.startswith(SKU):
            return Remediation.REPORTED
        said: list[Emission] = []

        def decide(saga: Saga, seen: SagaView) -> Emission:
            flow, _ = self._desk.projection.flows.find(seen.flow)
            said.append(put_right(found, saga, flow, before, through))
            return said[0]

        try:
            self._desk.say(found.subject, decide, stranger=True)
        except CommandRefused as refused:
            log.info("difference left alone", subject=found.subject, why=refused.detail)
            return Remediation.MOVED
        return Remediation.TOLD if isinstance(said[0].event, ChargeFound) else Remediation.CASE

    # --- metrics and HTTP -----------------------------------------------------------------------

    def read(self) -> Iterator[tuple[str, Mapping[str, str], float]]:
        """Yield the gauges of the last run."""
        if self._last is not None:
            at, report = self._last
            yield "saga_reconciliation_age_s", {}, (self._now() - at).total_seconds()
            for kind, findings in Counter(line.kind for line in report.findings).items():
                yield "saga_reconciliation_findings", {"kind": kind}, findings

    def routes(self) -> APIRouter:
        """Return the router with `POST /reconciliations`."""
        router = APIRouter(tags=["reconciliation"])

        @router.post("/reconciliations", response_model=None)
        def reconcile(asked: ReconciliationRequest) -> ReconciliationReport | JSONResponse:
            """Compare all books now; 503 if some cannot be read."""
            try:
                return self.run(asked)
            except SourceUnavailable as error:
                return problem(503, "cannot tell", str(error))

        return router


def put_right(
    found: Difference, saga: Saga, flow: Flow, before: datetime, through: datetime
) -> Emission:
    """Return the event that has a finding put right. Pure.

    It tells the participant whose books they are. It opens an intervention if no participant can
    put it right, none reads that event, or the event is older than SETTLE_S and did not help.

    Raises CommandRefused if an event of the order came into the log after `before`.
    """
    if any(fact.at > before for fact in saga.facts.values()):
        raise CommandRefused(409, "moved on", f"order {saga.order_id} has moved on since")
    charge = found.charge
    heard = any(ChargeFound.type in names for names in flow.observes.values())
    if found.remedy == Remedy.FORCE and charge is not None and heard:
        amounts = f"{charge.charge_id}:{charge.amount_minor}:{found.refunded_minor}"
        id_ = emission_id(saga.order_id, ChargeFound.type, amounts)
        told = saga.facts.get(str(id_))
        if told is None or through - told.at <= timedelta(seconds=SETTLE_S):
            event = ChargeFound(
                order_id=saga.order_id,
                charge_id=charge.charge_id,
                captured_minor=charge.amount_minor,
                refunded_minor=found.refunded_minor,
                currency=charge.currency,
                actor=SOURCE,
                reason=f"{found.kind}: {found.what}",
            )
            return Emission(id_, event, None)
    opened = InterventionOpened(order_id=saga.order_id, code=found.kind, reason=found.what)
    return Emission(emission_id(saga.order_id, found.kind, found.what), opened, None)
