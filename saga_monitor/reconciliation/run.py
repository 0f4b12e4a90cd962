"""Run a reconciliation: fetch all books, wait for the watermark, compare, and emit corrections.

A run changes no books itself: each correction becomes an event, through the outbox, under an id
derived from the finding. So two runs, one after the other or at once, emit it once.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import structlog
from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from saga_monitor.operations.commands import CommandHandler
from saga_monitor.operations.reads import SagaReader
from saga_monitor.reconciliation.compare import SKU, Difference, Remedy, compare
from saga_monitor.reconciliation.sources import BookReader, SourceUnavailable, join_books, orders
from saga_monitor.saga.commands import CommandRefused
from saga_monitor.saga.deadlines import Emission
from saga_monitor.saga.facts import SOURCE, Saga, emission_id
from saga_monitor.saga.view import SagaView
from sagakit.contract.platform import InterventionOpened
from sagakit.errors import BadKey
from sagakit.flow.model import Flow
from sagakit.identity import split_key
from sagakit.messages.codec import record_saga_id
from sagakit.web.app import problem

log = structlog.get_logger(__name__)
CHARGE_FOUND = "ChargeFound"
"""The event that tells a participant that the outside ledger has more than its own books."""
SETTLE_S = 300.0
MAX_WAIT_S = 60.0
"""The longest wait for the watermark to advance."""
HELP = {
    "saga_reconciliation_findings": "Differences that the last reconciliation found, by kind",
    "saga_reconciliation_age_s": "Seconds since the last completed reconciliation",
}


class Remediation(StrEnum):
    """The action taken on a finding.

    `none`: the request did not ask for corrections; `participant notified`: an event tells the
    participant whose books they are; `intervention`: an intervention was opened; `order changed`:
    an event of the order came meanwhile, and the next run compares it again; `report only`: the
    subject is no order.
    """

    NONE = "none"
    PARTICIPANT_NOTIFIED = "participant notified"
    INTERVENTION = "intervention"
    ORDER_CHANGED = "order changed"
    REPORT_ONLY = "report only"


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
    action: str


@dataclass(frozen=True, slots=True)
class ReconciliationReport:
    """The result of a run.

    before: orders with an event after this log time were not compared; read_through: log time up to
    which the log was read; judged, unsettled: numbers of orders compared, and not compared.
    """

    fix: bool
    before: datetime
    read_through: datetime
    judged: int
    unsettled: int
    findings: tuple[ReportLine, ...]


class Reconciler:
    """Runs reconciliations, one at a time, and keeps the last report for the gauges.

    `tick` returns the log time of the last tick, `SagaReader.log_time` the watermark.
    """

    def __init__(
        self,
        reader: SagaReader,
        commands: CommandHandler,
        event_types: Mapping[str, type[Any]],
        participants: Mapping[str, str],
        tick: Callable[[], datetime | None],
        now: Callable[[], datetime],
    ) -> None:
        self._reader, self._commands, self._tick, self._now = reader, commands, tick, now
        self._books, self._event_types = BookReader(participants), event_types
        self._one_at_a_time = threading.Lock()
        self._last: tuple[datetime, ReconciliationReport] | None = None

    def run(self, request: ReconciliationRequest) -> ReconciliationReport:
        """Run once and return the report. Raises SourceUnavailable."""
        with self._one_at_a_time:
            started_at = self._reader.log_time()
            if started_at is None:
                raise SourceUnavailable(
                    "the monitor has not read all topics to their end yet; try again"
                )
            before = started_at - timedelta(seconds=request.settle_s)
            found = self._books.read()
            through = self._await_watermark()
            compared = compare(join_books(found, orders(self._reader.engine, before)))
            lines = tuple(self._line(f, before, through, request.fix) for f in compared.findings)
            report = ReconciliationReport(
                request.fix, before, through, compared.judged, compared.unsettled, lines
            )
            self._last = self._now(), report
        return report

    def _await_watermark(self) -> datetime:
        """Wait until the log is read up to a tick taken after this call; return the watermark.

        The first new tick may have been taken before the call; the second was not. Raises
        SourceUnavailable.
        """
        deadline = time.monotonic() + MAX_WAIT_S
        ticks: list[datetime | None] = [self._tick()]
        while time.monotonic() < deadline:
            tick, through = self._tick(), self._reader.log_time()
            if tick != ticks[-1] and len(ticks) < 3:
                ticks.append(tick)
            wanted = ticks[2] if len(ticks) == 3 else None
            if wanted and through and through >= wanted:
                return through
            time.sleep(0.05)
        raise SourceUnavailable(
            f"the monitor has not read all topics to their end within {MAX_WAIT_S:.0f} s; "
            "see its metric saga_unread, and try again"
        )

    # --- corrections ----------------------------------------------------------------------------

    def _line(
        self, found: Difference, before: datetime, through: datetime, fix: bool
    ) -> ReportLine:
        action = self._correct(found, before, through) if fix else Remediation.NONE
        log.warning(
            "difference", kind=found.kind, subject=found.subject, what=found.what, action=action
        )
        return ReportLine(found.kind, found.subject, found.what, found.remedy.value, action.value)

    def _correct(self, found: Difference, before: datetime, through: datetime) -> Remediation:
        try:
            record_saga_id(split_key(found.subject)[1].encode())
        except (BadKey, ValueError):
            return Remediation.REPORT_ONLY  # no saga can have this key, so no intervention either
        if found.subject.startswith(SKU):
            return Remediation.REPORT_ONLY
        emissions: list[Emission] = []

        def decide(saga: Saga, view: SagaView) -> Emission:
            flow, _ = self._reader.projection.flows.find(view.flow)
            correction = correction_for(found, saga, flow, self._event_types, before, through)
            emissions.append(correction)
            return emissions[0]

        try:
            self._commands.accept(found.subject, decide, allow_unknown=True)
        except CommandRefused as refused:
            log.info("difference not corrected", subject=found.subject, reason=refused.detail)
            return Remediation.ORDER_CHANGED
        if emissions[0].event.type == CHARGE_FOUND:
            return Remediation.PARTICIPANT_NOTIFIED
        return Remediation.INTERVENTION

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
        def reconcile(request: ReconciliationRequest) -> ReconciliationReport | JSONResponse:
            """Compare all books now; 503 if some cannot be read."""
            try:
                return self.run(request)
            except SourceUnavailable as error:
                return problem(503, "not comparable", str(error))

        return router


def correction_for(
    found: Difference,
    saga: Saga,
    flow: Flow,
    event_types: Mapping[str, type[Any]],
    before: datetime,
    through: datetime,
) -> Emission:
    """Return the event that has a finding corrected. Pure.

    It tells the participant whose books they are, by CHARGE_FOUND of the contract's `event_types`.
    It opens an intervention instead if no participant can correct them, none reads that event, or
    the event is older than SETTLE_S and did not help.

    Raises CommandRefused if an event of the order came into the log after `before`.
    """
    if any(fact.at > before for fact in saga.facts.values()):
        raise CommandRefused(
            409,
            "order changed",
            f"an event of saga {saga.key} came after {before.isoformat()}; reconcile again",
        )
    charge = found.charge
    is_read = any(CHARGE_FOUND in names for names in flow.observes.values())
    if found.remedy == Remedy.PARTICIPANT and charge is not None and is_read:
        amounts = f"{charge.charge_id}:{charge.amount_minor}:{found.refunded_minor}"
        id_ = emission_id(saga.key, CHARGE_FOUND, amounts)
        earlier = saga.facts.get(str(id_))
        if earlier is None or through - earlier.at <= timedelta(seconds=SETTLE_S):
            event = event_types[CHARGE_FOUND](
                order_id=saga.id,
                charge_id=charge.charge_id,
                captured_minor=charge.amount_minor,
                refunded_minor=found.refunded_minor,
                currency=charge.currency,
                actor=SOURCE,
                reason=f"{found.kind}: {found.what}",
            )
            return Emission(id_, event, None)
    opened = InterventionOpened(saga_id=saga.id, code=found.kind, reason=found.what)
    return Emission(emission_id(saga.key, found.kind, found.what), opened, None)
