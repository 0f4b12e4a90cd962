"""Judge the stored sagas by an edited flow file, a page at a time. Reads only, emits nothing."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, Field

from saga_monitor.operations.reads import SagaReader
from saga_monitor.saga.backtest import JudgedSaga, judge
from saga_monitor.saga.commands import CommandRefused, SagaKey
from saga_monitor.saga.facts import Saga
from saga_monitor.saga.flow_changes import FlowChange, edited_plan, flow_changes
from saga_monitor.saga.flow_plan import Plan
from saga_monitor.storage import queries
from saga_monitor.storage.stored_saga import StoredSaga, reading
from sagakit.contract.loader import load_edited_flow
from sagakit.contract.model import Contract
from sagakit.errors import UnknownFlow, UnreadableState
from sagakit.flow.model import Flow, Flows
from sagakit.flow.toml_values import MAX_DURATION_S
from sagakit.identity import is_plain

PAGE = 200
"""Sagas in a page: it is judged in less than a second, so that the monitor goes on reading."""
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)


def _plain(text: str) -> str:
    """Refuse what PostgreSQL text cannot hold. Raises ValueError."""
    if not is_plain(text):
        raise ValueError("it is no saga key")
    return text


class Place(BaseModel):
    """The place of a saga in the order of starts."""

    started_at: AwareDatetime
    saga: Annotated[SagaKey, AfterValidator(_plain)]


class BacktestRequest(BaseModel):
    """The body of a request for a page of a back-test."""

    flow: str = Field(description="The edited flow file, TOML; its name says which sagas are meant")
    last_s: float = Field(
        gt=0, le=MAX_DURATION_S, description="Judge sagas that started in these last seconds"
    )
    version: int | None = Field(
        default=None, ge=1, lt=10**9, description="Judge all by this version, not each by its own"
    )
    until: AwareDatetime | None = Field(
        default=None, description="Log time up to which is judged; for a further page as answered"
    )
    after: Place | None = Field(
        default=None, description="For a further page: `next` of the answer before"
    )


@dataclass(frozen=True, slots=True)
class BacktestPage:
    """A page of a back-test.

    changes: what the edited file changes; judged: number of sagas judged on this page; unjudged:
    reason -> number of sagas that cannot be judged; sagas: those with differences; next: place
    behind which the next page begins, None on the last one.
    """

    flow: str
    since: datetime
    until: datetime
    changes: Sequence[FlowChange]
    judged: int
    unjudged: Mapping[str, int]
    sagas: Sequence[JudgedSaga]
    next: Place | None


class Backtester:
    """Judges the sagas that the monitor has stored."""

    def __init__(self, reader: SagaReader, contract: Contract) -> None:
        self._reader, self._contract = reader, contract

    def page(self, request: BacktestRequest) -> BacktestPage:
        """Judge a page of sagas.

        Raises FlowError for the edited file, CommandRefused while the log is not read to its end.
        """
        edited = load_edited_flow(request.flow, self._contract)
        present = next(flow for flow in self._reader.projection.flows if flow.name == edited.name)
        read_through = self._reader.log_time()
        if read_through is None:
            detail = "the monitor has not read all topics to their end; try again"
            raise CommandRefused(409, "cannot tell yet", detail)
        until = min(request.until or read_through, read_through)
        since = max(EARLIEST, until) - timedelta(seconds=request.last_s)
        after = request.after
        behind = (after.started_at, after.saga) if after else (EARLIEST, "")
        with self._reader.engine.connect() as connection:
            rows = queries.started(connection, edited.name, since, until, behind, PAGE)
        judging = _Judging(present, edited, request.version, until)
        for stored, _ in rows:
            judging.add(stored)
        last = rows[-1] if len(rows) == PAGE else None
        return BacktestPage(
            flow=edited.name,
            since=since,
            until=until,
            changes=flow_changes(present, edited),
            judged=judging.judged,
            unjudged=judging.unjudged,
            sagas=judging.differing,
            next=Place(started_at=last[1], saga=last[0].key) if last else None,
        )


class _Judging:
    """Judges saga after saga, with one plan a label."""

    def __init__(self, present: Flow, edited: Flow, version: int | None, until: datetime) -> None:
        self._present, self._edited, self._version = present, edited, version
        self._until = until
        self._plans: dict[str, tuple[Plan, Plan] | str] = {}
        self.judged = 0
        self.unjudged: Counter[str] = Counter()
        self.differing: list[JudgedSaga] = []

    def add(self, stored: StoredSaga) -> None:
        try:
            with reading(stored.key):
                self._judge(stored.load())
        except UnreadableState as error:
            self.unjudged[str(error)] += 1

    def _judge(self, saga: Saga) -> None:
        label = saga.flow or self._present.label(self._present.default_version)
        plans = self._plans.get(label)
        if plans is None:
            plans = self._plans[label] = self._plans_of(label)
        if isinstance(plans, str):
            self.unjudged[plans] += 1
            return
        found = judge(saga, *plans, self._until)
        self.judged += 1
        if found.differences:
            self.differing.append(found)

    def _plans_of(self, label: str) -> tuple[Plan, Plan] | str:
        """Return the present plan of a label and the edited one, or why there are none."""
        try:
            edited = edited_plan(label, self._present, self._edited, self._version)
            return Plan.of(*Flows(self._present).find(label)), edited
        except UnknownFlow as error:
            return str(error)
