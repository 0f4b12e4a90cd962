"""Measure what a micro-batch of the projection changed. Pure: no I/O, no clock.

All times are log time, so a monitor that reads the log late measures the same.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime

from saga_monitor.saga.balance import SagaBalances
from saga_monitor.saga.facts import Fact, Saga, emission_id
from saga_monitor.saga.flow_plan import Plan
from saga_monitor.saga.interpreter import interpret
from saga_monitor.saga.view import (
    DEADLINE,
    ENDED,
    SYSTEM_TIMEOUT,
    VERDICT,
    KindBalance,
    SagaView,
    Status,
)
from sagakit.flow.model import Step
from sagakit.flow.platform_events import COMPENSATION_REQUESTED, VERDICT_GIVEN


@dataclass(frozen=True, slots=True)
class Change:
    """A saga before and after a micro-batch.

    before: facts before; old_status: status before; saga, view: after the batch, under the plan of
    its flow version; new: facts that were not known before.
    """

    before: Mapping[str, Fact]
    old_status: Status
    saga: Saga
    view: SagaView
    plan: Plan
    new: Sequence[Fact] = field(init=False)

    def __post_init__(self) -> None:
        new = [fact for key, fact in self.saga.facts.items() if key not in self.before]
        object.__setattr__(self, "new", new)


@dataclass(frozen=True, slots=True)
class StepTime:
    """The time a step took to an outcome: done, failed or undone."""

    step: str
    outcome: str
    seconds: float


@dataclass(frozen=True, slots=True)
class DeadlineRequest:
    """The monitor's event for a passed deadline: a request to undo, or the timeout verdict.

    late_s: seconds from the deadline to the event's log time.
    """

    step: str
    attempt: int
    late_s: float


def status_changes(change: Change) -> Iterator[str]:
    """Yield the changes of a saga's status: started, completed, cancelled."""
    if change.old_status == Status.UNPLACED != change.view.status:
        yield "started"
    if change.view.status in ENDED and change.old_status != change.view.status:
        yield change.view.status.value


def movements(change: Change) -> Iterator[KindBalance]:
    """Yield what was added to balances, and removed from them, since before the change."""
    if change.plan.moving.isdisjoint(fact.type for fact in change.new):
        return
    known: dict[str, list[Fact]] = defaultdict(list)
    for fact in change.before.values():
        known[fact.type].append(fact)
    before = {(row.name, row.kind): row for row in SagaBalances.of(known, change.plan.flow).rows}
    for now in change.view.balances:
        was = before.get((now.name, now.kind), KindBalance(now.name, now.kind, 0, 0))
        yield KindBalance(now.name, now.kind, now.added - was.added, now.removed - was.removed)


def deadline_requests(change: Change) -> Iterator[DeadlineRequest]:
    """Yield the monitor's own requests among the new facts, found by their derived ids.

    A verdict must have the monitor's actor as well, because a person's verdict on the same wait can
    have the same id.
    """
    plan, key = change.plan, change.saga.key
    for fact in (f for f in change.new if f.type in (COMPENSATION_REQUESTED, VERDICT_GIVEN)):
        step, attempt = str(fact.detail.get("step")), fact.detail.get("attempt", 1)
        own_id = emission_id(key, DEADLINE, step, attempt)
        if fact.detail.get("actor") == SYSTEM_TIMEOUT:
            own_id = emission_id(key, VERDICT, str(fact.causation))
        if fact.id == str(own_id):
            earlier = {at: f for at, f in change.saga.facts.items() if f.at < fact.at}
            awaited = interpret(Saga(key, earlier), plan).awaited
            times = (a.approval.until if a.approval else a.due for a in awaited if a.step == step)
            passed = next((at for at in times if at), None)
            late_s = (fact.at - passed).total_seconds() if passed else 0.0
            yield DeadlineRequest(step, attempt, max(late_s, 0.0))


def step_times(change: Change) -> Iterator[StepTime]:
    """Yield each step that reached an outcome, with the time since it became due.

    Only the first event of a type counts: a repeated one took no time.
    """
    plan = change.plan
    pairs = ((f, step) for f in change.new if f.type in plan.step_of_event for step in plan.steps)
    found = [(f, step, outcome) for f, step in pairs if (outcome := _outcome(step, f.type))]
    facts = change.saga.timeline() if found else []
    for fact, step, outcome in found:
        if _first(facts, {fact.type}) is not fact:
            continue
        since = _due_since(step, outcome, plan, facts)
        if since is not None and since <= fact.at:
            yield StepTime(step.name, outcome, (fact.at - since).total_seconds())


def _outcome(step: Step, event: str) -> str | None:
    if event == step.done:
        return "done"
    if event in step.failed:
        return "failed"
    return "undone" if event == step.undone else None


def _due_since(step: Step, outcome: str, plan: Plan, facts: Sequence[Fact]) -> datetime | None:
    """Return when the step became due for this outcome, None if that is unknown.

    Forward: when all steps of the place before were done. Backward: when all steps of the place
    behind had failed or were undone, or else when the undo was requested.
    """
    place = next(i for i, steps in enumerate(plan.places) if step in steps)
    needs = [{s.done} for s in plan.places[place - 1]] if place else [{plan.flow.start}]
    if outcome == "undone":
        behind = plan.places[place + 1] if place < plan.last_undoable else ()
        needs = [{e for e in (*s.failed, s.undone) if e} for s in behind]
        if not needs or any(_first(facts, types) is None for types in needs):
            needs = [{COMPENSATION_REQUESTED, plan.flow.cancel}]
    found = [_first(facts, types) for types in needs]
    times = [fact.at for fact in found if fact]
    return max(times) if len(times) == len(needs) else None


def _first(facts: Sequence[Fact], types: Set[str]) -> Fact | None:
    return next((fact for fact in facts if fact.type in types), None)
