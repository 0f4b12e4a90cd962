"""Derive a saga's state from its facts and a version of its flow. Pure: no I/O, no clock."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

from saga_monitor.saga.approvals import with_approval
from saga_monitor.saga.balance import SagaBalances, imbalances
from saga_monitor.saga.event_matrix import UNEXPECTED_ROLES, Situation
from saga_monitor.saga.facts import Fact, Saga, emission_id
from saga_monitor.saga.flow_plan import Plan, Role
from saga_monitor.saga.interventions import EVENT_TYPES, OPENED, interventions_of, settle
from saga_monitor.saga.pauses import current_pause, due_after, pauses
from saga_monitor.saga.pins import PINNED, UNPINNED, pin_of
from saga_monitor.saga.shared_ids import find_shared_ids
from saga_monitor.saga.view import (
    ANSWERS,
    CONFLICT,
    DEADLINE,
    ENDED,
    OVERDUE,
    SETTLED_BY_END,
    UNDONE_PAST_PIVOT,
    UNEXPECTED,
    AwaitedStep,
    AwaitMode,
    NeededIntervention,
    SagaView,
    Status,
    StepView,
    backoff,
)
from sagakit.flow.model import PIVOT, Step
from sagakit.flow.platform_events import (
    COMPENSATION_REQUESTED,
    SAGA_PAUSED,
    SAGA_RESUMED,
    VERDICT_GIVEN,
)


def interpret(saga: Saga, plan: Plan) -> SagaView:
    """Return the saga's view under a plan, which many sagas can share."""
    return _Interpreter(saga, plan).view()


class _Interpreter:
    """Interprets one saga: groups its facts once, then derives each part of the view from them.

    conflicts: facts with another label than the start event, which nobody acts on, and those under
    the id of another event; facts: those that are acted on, by type; last: the newest done, failed,
    wait or undone event of each step.
    """

    def __init__(self, saga: Saga, plan: Plan) -> None:
        self.saga, self.plan, self.flow = saga, plan, plan.flow
        self.facts: dict[str, list[Fact]] = defaultdict(list)
        self.last: dict[str, Fact] = {}
        label = start.flow if (start := saga.start) else None
        every = saga.facts.values()
        others = [f for f in every if label and f.flow and f.flow != label]
        shared = find_shared_ids([f for f in every if f not in others], self.flow.owners)
        self.conflicts = [f for f in others if f.type != self.flow.start] + [*shared.reported]
        for fact in every:
            if fact in others or fact.key in shared.set_aside:
                continue
            self.facts[fact.type].append(fact)
            step = plan.step_of_event.get(fact.type)
            if step and (step not in self.last or fact.source_order > self.last[step].source_order):
                self.last[step] = fact
        self.balances = SagaBalances.of(self.facts, self.flow)
        self.past_pivot = all(self.is_passed(s) for s in plan.pivots)
        self.pauses = pauses(self.facts.get(SAGA_PAUSED, ()), self.facts.get(SAGA_RESUMED, ()))

    def view(self) -> SagaView:
        start = min(self.facts[self.flow.start], key=_log_order, default=None)
        completed = all(self.is_done(s) for s in self.plan.steps)
        entry = -1 if self.past_pivot else self.undo_entry()
        awaited: tuple[AwaitedStep, ...] = ()
        if start is not None and not completed:
            awaited = tuple(self.steps_to_undo(entry) if entry >= 0 else self.steps_to_do(start))
        paused = current_pause(self.pauses) if entry < 0 and not completed else None
        interventions = interventions_of(
            f for type_ in EVENT_TYPES for f in self.facts.get(type_, ())
        )
        if start is None:
            status = Status.UNPLACED
        elif completed:
            status = Status.COMPLETED
        elif entry >= 0 and not awaited:
            status = Status.CANCELLED
        elif any(one.is_open for one in interventions):
            status = Status.INTERVENTION
        elif entry >= 0:
            status = Status.UNDOING
        elif paused:
            status = Status.PAUSED
        else:
            waits = any(a.mode == AwaitMode.WAIT for a in awaited)
            status = Status.WAITING if waits else Status.RUNNING
        ended_at = self.newest_at(self.plan.steps) if status in ENDED else None
        if ended_at is not None:
            interventions = tuple(
                settle(one, ended_at) if one.code in SETTLED_BY_END else one
                for one in interventions
            )
        return SagaView(
            key=self.saga.key,
            flow=self.plan.label,
            status=status,
            steps=tuple(self.step_view(s, awaited) for s in self.plan.steps),
            awaited=awaited,
            conflicts=self.without_case(self.conflicts, CONFLICT),
            unexpected=self.unexpected(self.situation(status, entry)),
            needed=self.needed_interventions(),
            imbalances=imbalances(self.saga, self.plan, self.facts, self.balances, status),
            interventions=interventions,
            pin=pin_of(f for type_ in (PINNED, UNPINNED) for f in self.facts.get(type_, ())),
            balances=self.balances.rows,
            undoing=entry >= 0,
            past_pivot=self.past_pivot,
            started_at=start.at if start else None,
            ended_at=ended_at,
            paused=paused,
        )

    def situation(self, status: Status, entry: int) -> Situation:
        """Return the situation in which the next event would find the saga."""
        match status:
            case Status.UNPLACED:
                return Situation.UNPLACED
            case Status.COMPLETED:
                return Situation.COMPLETED
            case Status.CANCELLED:
                return Situation.CANCELLED
        if entry >= 0:
            return Situation.UNDOING
        return Situation.PAST if self.past_pivot else Situation.PLACED

    def unexpected(self, situation: Situation) -> tuple[Fact, ...]:
        """Return the first event of each type that must not occur in this situation.

        Types about which an intervention was opened are left out.
        """
        roles, unexpected = self.plan.roles, UNEXPECTED_ROLES[situation]
        types = [
            type_
            for type_, facts in self.facts.items()
            if facts and roles.get(type_, Role.FOREIGN) in unexpected
        ]
        found = (fact for type_ in types for fact in self.facts[type_])
        return self.without_case(found, UNEXPECTED)

    def without_case(self, facts: Iterable[Fact], code: str) -> tuple[Fact, ...]:
        """Return the first of the facts of each type, but for types with an intervention."""
        first: dict[str, Fact] = {}
        for fact in sorted(facts, key=_log_order):
            first.setdefault(fact.type, fact)
        return tuple(
            first[type_]
            for type_ in sorted(first)
            if not self.is_opened(emission_id(self.saga.key, code, type_))
        )

    def needed_interventions(self) -> tuple[NeededIntervention, ...]:
        """Return an intervention for each event for which the flow declares one, if not opened."""
        found = (
            NeededIntervention(emission_id(self.saga.key, code, fact.id), code, fact)
            for event, code in self.flow.interventions.items()
            for fact in sorted(self.facts.get(event, ()), key=_log_order)
        )
        return tuple(one for one in found if not self.is_opened(one.id))

    def is_opened(self, id_: UUID) -> bool:
        """Return True if an intervention was opened by the event of this id."""
        return self.saga.find(id_, OPENED) is not None

    # --- forward --------------------------------------------------------------------------------

    def steps_to_do(self, start: Fact) -> Iterable[AwaitedStep]:
        """Yield each step to be done whose predecessors are all done, and contradictions."""
        before = [start]
        for place in self.plan.places:
            for step in place:
                if self.past_pivot and self.reports_end(step):
                    yield self.contradiction(step)
                elif before and not self.is_done(step):
                    yield self.awaited_step(step, max(before, key=_log_order))
            done = all(self.is_done(s) for s in place)
            before = [self.last[s.name] for s in place] if done else []

    def awaited_step(self, step: Step, trigger: Fact) -> AwaitedStep:
        """Return the events awaited of a step that is to be done, and until when."""
        mode, allowed_s, events = AwaitMode.DO, step.deadline_s, (step.done, *step.failed)
        last = self.last.get(step.name)
        if last is not None and last.type in step.waits:
            verdict = self.verdict_on(step, last)
            if verdict is None:
                mode, allowed_s, trigger = AwaitMode.WAIT, step.waits[last.type], last
            else:
                trigger = verdict

        def after(seconds: float) -> datetime | None:
            return due_after(trigger.at, seconds, self.pauses)

        due = after(allowed_s)
        rule = step.asks.get(trigger.type) if mode == AwaitMode.WAIT else None
        if self.past_pivot:
            mode = mode if mode == AwaitMode.WAIT else AwaitMode.FORWARD
            # The pivot follows every step before it, so a view that has the pivot and lacks such a
            # step is complete only once the log is read through the pivot.
            due = due and max([due, *self.pivots_passed_at()])
            found = self.awaited_past_pivot(step, mode, events, trigger, due, OVERDUE)
        else:
            attempt = len(self.requests(step)) + 1
            found = AwaitedStep(
                step.name, mode, events, trigger.at, trigger.id, due, attempt=attempt
            )
        return with_approval(self.saga, found, trigger.type, rule, after) if rule else found

    def contradiction(self, step: Step) -> AwaitedStep:
        """Return a step that is undone although the pivot is done; a person is needed at once."""
        last, since = self.last[step.name], self.newest_at((step, *self.plan.pivots))
        return self.awaited_past_pivot(
            step, AwaitMode.FORWARD, (step.done,), last, since, UNDONE_PAST_PIVOT
        )

    def awaited_past_pivot(
        self,
        step: Step,
        mode: AwaitMode,
        events: tuple[str, ...],
        trigger: Fact,
        due: datetime | None,
        code: str,
    ) -> AwaitedStep:
        """Return a step past the pivot: its deadline opens one intervention and undoes nothing."""
        if self.is_opened(emission_id(self.saga.key, code, step.name)):
            due = None
        return AwaitedStep(step.name, mode, events, trigger.at, trigger.id, due, code=code)

    def verdict_on(self, step: Step, wait: Fact) -> Fact | None:
        """Return the verdict on a wait, if one was given: then the participant has to act."""
        if wait.type not in step.asks:
            return None
        given = (
            f
            for f in self.facts[VERDICT_GIVEN]
            if f.at >= wait.at
            and f.detail.get("step") == step.name
            and f.detail.get("verdict") in ANSWERS
        )
        return max(given, key=_log_order, default=None)

    # --- backward -------------------------------------------------------------------------------

    def undo_entry(self) -> int:
        """Return the index of the place where the undo enters; -1 while nothing is to be undone.

        After a request it is the last place that can be undone. After a failure, or if a step was
        undone already, it is the newest place that has reported anything or has a balance to bring
        to zero.
        """
        if self.facts[COMPENSATION_REQUESTED] or self.facts[self.flow.cancel]:
            return self.plan.last_undoable
        undoable = self.plan.places[: self.plan.last_undoable + 1]
        if not any(f.type in self.plan.endings for p in undoable for f in self.last_facts(p)):
            return -1
        return max(
            i
            for i, p in enumerate(undoable)
            if any(s.name in self.last or not self.is_emptied(s) for s in p)
        )

    def steps_to_undo(self, entry: int) -> Iterable[AwaitedStep]:
        """Return the steps to undo in the newest place that is not undone yet; empty at the end."""
        for i in range(entry, -1, -1):
            steps = [s for s in self.plan.places[i] if not self.is_ended(s)]
            if steps:
                trigger = self.undo_trigger(i, entry)
                return [self.awaited_undo(step, trigger) for step in steps]
        return []

    def undo_trigger(self, place: int, entry: int) -> Fact:
        """Return the event that told a place to undo; a repeated request is not a new trigger."""
        if place < entry:
            ends = [self.first_end(s) for s in self.plan.places[place + 1]]
            return max((f for f in ends if f), key=_log_order)
        requests = [*self.facts[COMPENSATION_REQUESTED], *self.facts[self.flow.cancel]]
        ended = [f for event in self.plan.endings for f in self.facts[event]]
        return min(requests or ended, key=_log_order)

    def first_end(self, step: Step) -> Fact | None:
        """Return the event by which a step first failed or was undone.

        A step repeats that event whenever it is asked again. The repeats say nothing about the step
        before it.
        """
        types = (*step.failed, *([step.undone] if step.undone else []))
        ends = (f for type_ in types for f in self.facts.get(type_, ()))
        return min(ends, key=_log_order, default=None)

    def awaited_undo(self, step: Step, trigger: Fact) -> AwaitedStep:
        """Return the events awaited of a step that is to be undone, and when to ask again."""
        own = [f for f in self.saga.facts.values() if self.flow.owners.get(f.type) == step.name]
        latest = max([trigger, *own], key=_log_order)
        requests = self.requests(step)
        unanswered = [f for f in requests if f.at > latest.at]
        due = latest.at + timedelta(seconds=step.deadline_s)
        if unanswered:
            last = max(unanswered, key=_log_order)
            due = last.at + backoff(step.deadline_s, len(unanswered))
        stalled = self.flow.ceiling.is_reached(len(unanswered), (due - latest.at).total_seconds())
        return AwaitedStep(
            step=step.name,
            mode=AwaitMode.UNDO,
            events=(*([step.undone] if step.undone else []), *step.failed),
            since=latest.at,
            cause=latest.id,
            due=due,
            tries=len(unanswered),
            attempt=len(requests) + 1,
            stalled=stalled,
        )

    def requests(self, step: Step) -> list[Fact]:
        """Return the monitor's own undo requests because of this step, by attempt.

        They are found by their derived ids, so no other request is mistaken for one.
        """
        found: list[Fact] = []
        while self.facts[COMPENSATION_REQUESTED]:
            attempt = len(found) + 1
            id_ = emission_id(self.saga.key, DEADLINE, step.name, attempt)
            fact = self.saga.find(id_, COMPENSATION_REQUESTED)
            if fact is None:
                break
            found.append(fact)
        return found

    # --- state of the steps ---------------------------------------------------------------------

    def is_done(self, step: Step) -> bool:
        last = self.last.get(step.name)
        return last is not None and last.type == step.done

    def is_passed(self, step: Step) -> bool:
        """Return True if a step is done. A pivot that was once done stays passed."""
        return self.is_done(step) or (step.kind == PIVOT and step.done in self.facts)

    def pivots_passed_at(self) -> list[datetime]:
        """Return when each pivot was first done, in log time; only past the pivot."""
        return [min(f.at for f in self.facts[s.done]) for s in self.plan.pivots]

    def is_ended(self, step: Step) -> bool:
        """Return True if a step failed or was undone, and its balances are zero."""
        return self.reports_end(step) and self.is_emptied(step)

    def is_emptied(self, step: Step) -> bool:
        """Return True if nothing is left that the undo of this step has to bring to zero."""
        return all(map(self.balances.is_emptied, self.plan.balances_of_step.get(step.name, ())))

    def reports_end(self, step: Step) -> bool:
        """Return True if the newest event in `last` reports the step as failed or undone."""
        last = self.last.get(step.name)
        return last is not None and last.type in self.plan.endings

    def step_view(self, step: Step, awaited: Iterable[AwaitedStep]) -> StepView:
        last = self.last.get(step.name)
        status, since = "idle", last.at if last else None
        if last is not None:
            status = "waiting"
            if last.type == step.done:
                status = "done"
            elif last.type in self.plan.endings:
                status = "failed" if last.type in step.failed else "undone"
        for item in awaited:
            if item.step == step.name and item.code != UNDONE_PAST_PIVOT:
                named = {AwaitMode.UNDO: "undoing", AwaitMode.WAIT: "waiting"}
                status, since = named.get(item.mode, "due"), item.since
        return StepView(step.name, step.kind, status, since)

    def last_facts(self, steps: Iterable[Step]) -> list[Fact]:
        return [self.last[s.name] for s in steps if s.name in self.last]

    def newest_at(self, steps: Iterable[Step]) -> datetime | None:
        """Return the log time of the newest event in `last` of these steps."""
        return max((f.at for f in self.last_facts(steps)), default=None)


def _log_order(fact: Fact) -> tuple[datetime, str]:
    return fact.at, fact.id
