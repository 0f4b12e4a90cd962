"""Run a reconciliation: fetch all books, wait for the watermark, compare, and emit corrections.

A run changes no books itself: each correction becomes an event, through the outbox, under an id
derived from the finding. So two runs, one after the other or at once, emit it once.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import structlog
from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from saga_monitor.operations.commands import CommandHandler
from saga_monitor.operations.reads import SagaReader
from saga_monitor.reconciliation.compare import Books, compare
from saga_monitor.reconciliation.rules import Difference, Rules
from saga_monitor.reconciliation.sources import BookReader, SourceUnavailable, sagas
from saga_monitor.saga.commands import CommandRefused
from saga_monitor.saga.deadlines import Emission
from saga_monitor.saga.facts import Saga, emission_id
from saga_monitor.saga.view import SagaView
from sagakit.contract.platform import InterventionOpened
from sagakit.errors import BadKey, SagaError, UnreadableState
from sagakit.flow.model import Flow
from sagakit.identity import split_key
from sagakit.messages.codec import record_saga_id
from sagakit.web.app import problem
from sagakit.web.identity.requires import requires
from sagakit.web.identity.scopes import Scope

log = structlog.get_logger(__name__)
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
    participant whose books they are; `intervention`: an intervention was opened; `saga changed`:
    an event of the saga came meanwhile, and the next run compares it again; `report only`: the
    subject is no saga.
    """

    NONE = "none"
    PARTICIPANT_NOTIFIED = "participant notified"
    INTERVENTION = "intervention"
    SAGA_CHANGED = "saga changed"
    REPORT_ONLY = "report only"


class ReconciliationRequest(BaseModel):
    """The body of a request to reconcile.

    fix: emit corrections, not only a report; settle_s: how long a saga must have been quiet, in
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

    before: sagas with an event after this log time were not compared; read_through: log time up to
    which the log was read; judged, unsettled: numbers of sagas compared, and not compared.
    """

    fix: bool
    before: datetime
    read_through: datetime
    judged: int
    unsettled: int
    findings: tuple[ReportLine, ...]


class AlreadyRunning(SagaError):
    """A reconciliation runs already. Answered with 409."""


class Reconciler:
    """Runs reconciliations, one at a time, and keeps the last report for the gauges.

    `rules`: None if the application compares nothing. `tick` returns the log time of the last
    tick, `SagaReader.log_time` the watermark.
    """

    def __init__(
        self,
        reader: SagaReader,
        commands: CommandHandler,
        rules: Rules | None,
        books: BookReader,
        tick: Callable[[], datetime | None],
        now: Callable[[], datetime],
    ) -> None:
        self._reader, self._commands, self._tick, self._now = reader, commands, tick, now
        self._rules, self._books = rules, books
        self._one_at_a_time = threading.Lock()
        self._last: tuple[datetime, ReconciliationReport] | None = None

    def run(self, request: ReconciliationRequest) -> ReconciliationReport:
        """Run once and return the report. Raises SourceUnavailable, and AlreadyRunning."""
        rules = self._rules
        if rules is None:
            raise SourceUnavailable(
                "the monitor has no rules by which to compare; set SAGA_RECONCILIATION"
            )
        with self._alone():
            started_at = self._reader.log_time()
            if started_at is None:
                raise SourceUnavailable(
                    "the monitor has not read all topics to their end yet; try again"
                )
            before = started_at - timedelta(seconds=request.settle_s)
            rows, busy = self._books.read(rules)
            through = self._await_watermark()
            known = sagas(self._reader.engine, before)
            compared = compare(rules, Books(known, busy, rows))
            lines = tuple(self._line(f, before, through, request.fix) for f in compared.findings)
            report = ReconciliationReport(
                request.fix, before, through, compared.judged, compared.unsettled, lines
            )
            self._last = self._now(), report
        return report

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep others from running meanwhile. Raises AlreadyRunning instead of waiting."""
        if not self._one_at_a_time.acquire(blocking=False):
            raise AlreadyRunning("a reconciliation runs already; try again when it has ended")
        try:
            yield
        finally:
            self._one_at_a_time.release()

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
        remedy = "participant" if found.correction else "person"
        return ReportLine(found.kind, found.subject, found.what, remedy, action.value)

    def _correct(self, found: Difference, before: datetime, through: datetime) -> Remediation:
        if not found.about_saga:
            return Remediation.REPORT_ONLY
        try:
            record_saga_id(split_key(found.subject)[1].encode())
        except (BadKey, ValueError):
            return Remediation.REPORT_ONLY  # no saga can have this key, so no intervention either
        emissions: list[Emission] = []

        def decide(saga: Saga, view: SagaView) -> Emission:
            flow, _ = self._reader.projection.flows.find(view.flow)
            correction = correction_for(found, saga, flow, before, through)
            emissions.append(correction)
            return emissions[0]

        try:
            self._commands.accept(found.subject, decide, allow_unknown=True)
        except CommandRefused as refused:
            log.info("difference not corrected", subject=found.subject, reason=refused.detail)
            return Remediation.SAGA_CHANGED
        except UnreadableState as error:
            log.error("difference not corrected", subject=found.subject, reason=str(error))
            return Remediation.REPORT_ONLY
        if isinstance(emissions[0].event, InterventionOpened):
            return Remediation.INTERVENTION
        return Remediation.PARTICIPANT_NOTIFIED

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

        @router.post("/reconciliations", response_model=None, dependencies=requires(Scope.OPERATE))
        def reconcile(request: ReconciliationRequest) -> ReconciliationReport | JSONResponse:
            """Compare all books now; 503 if some cannot be read, 409 while another run lasts."""
            try:
                return self.run(request)
            except AlreadyRunning as running:
                return problem(409, "already running", str(running))
            except SourceUnavailable as error:
                return problem(503, "not comparable", str(error))

        return router


def correction_for(
    found: Difference, saga: Saga, flow: Flow, before: datetime, through: datetime
) -> Emission:
    """Return the event that has a finding corrected. Pure.

    It is the finding's own correction, for the participant whose books they are. It opens an
    intervention instead if there is none, if no participant observes it, or if it was published
    more than SETTLE_S ago and did not help.

    Raises CommandRefused if an event of the saga came into the log after `before`.
    """
    if any(fact.at > before for fact in saga.facts.values()):
        raise CommandRefused(
            409,
            "saga changed",
            f"an event of saga {saga.key} came after {before.isoformat()}; reconcile again",
        )
    correction = found.correction
    if correction and any(correction.event.type in names for names in flow.observes.values()):
        id_ = emission_id(saga.key, correction.event.type, correction.state)
        earlier = saga.find(id_, correction.event.type)
        if earlier is None or through - earlier.at <= timedelta(seconds=SETTLE_S):
            return Emission(id_, correction.event, None)
    opened = InterventionOpened(saga_id=saga.id, code=found.kind, reason=found.what)
    return Emission(emission_id(saga.key, found.kind, found.what), opened, None)
