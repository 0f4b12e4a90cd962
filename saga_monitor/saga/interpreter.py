"""Derive a saga's state from its facts and a version of its flow. Pure: no I/O, no clock."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta

from saga_monitor.saga import event_matrix
from saga_monitor.saga.approvals import asked
from saga_monitor.saga.balance import imbalances
from saga_monitor.saga.event_matrix import Situation
from saga_monitor.saga.facts import Fact, Saga, emission_id, ledger
from saga_monitor.saga.flow_plan import Plan, Role
from saga_monitor.saga.interventions import WORDS, cases, settled
from saga_monitor.saga.pauses import due_after, lasting, pauses
from saga_monitor.saga.pins import PINNED, UNPINNED, pin_of
from saga_monitor.saga.view import (
    ANSWERS,
    DEADLINE,
    ENDED,
    OVERDUE,
    SETTLES,
    UNDONE_PAST_PIVOT,
    UNEXPECTED,
    Awaited,
    AwaitMode,
    SagaView,
    Status,
    StepView,
    backoff,
)
from sagakit.flow.model import PIVOT, Flow, Step


def view(saga: Saga, flow: Flow, version: int) -> SagaView:
    """Return the saga's view under `version` of `flow`."""
    return read(saga, Plan.of(flow, version))


def read(saga: Saga, plan: Plan) -> SagaView:
    """Return the saga's view under a plan, which many sagas can share."""
    return _Reading(saga, plan).view()


class _Reading:
    """The facts by type; last: the newest done, failed, wait or undone event of each step."""

    def __init__(self, saga: Saga, plan: Plan) -> None:
        self.saga, self.plan, self.flow = saga, plan, plan.flow
        self.facts: dict[str, list[Fact]] = defaultdict(list)
        self.last: dict[str, Fact] = {}
        for fact in saga.facts.values():
            self.facts[fact.type].append(fact)
            step = plan.word_of.get(fact.type)
            if step and (step not in self.last or fact.place > self.last[step].place):
                self.last[step] = fact
        self.ledger = ledger(saga.facts.values(), self.flow)
        self.past_pivot = all(self.is_passed(s) for s in plan.pivots)
        paused, resumed = self.flow.pause or "", self.flow.resume or ""
        self.pauses = pauses(self.facts.get(paused, ()), self.facts.get(resumed, ()))

    def view(self) -> SagaView:
        start = min(self.facts[self.flow.start], key=_log_order, default=None)
        completed = all(self.is_done(s) for s in self.plan.steps)
        entry = -1 if self.past_pivot else self.undo_entry()
        awaited: tuple[Awaited, ...] = ()
        if start is not None and not completed:
            awaited = tuple(self.backward(entry) if entry >= 0 else self.forward(start))
        paused = lasting(self.pauses) if entry < 0 and not completed else None
        known = cases(f for word in WORDS if word in self.facts for f in self.facts[word])
        if start is None:
            status = Status.UNPLACED
        elif completed:
            status = Status.COMPLETED
        elif entry >= 0 and not awaited:
            status = Status.CANCELLED
        elif any(case.is_open for case in known):
            status = Status.INTERVENTION
        elif entry >= 0:
            status = Status.UNDOING
        elif paused:
            status = Status.PAUSED
        else:
            waits = any(a.mode == AwaitMode.WAIT for a in awaited)
            status = Status.WAITING if waits else Status.RUNNING
        ended_at = self.latest(self.plan.steps) if status in ENDED else None
        if ended_at is not None:
            known = tuple(settled(c, ended_at) if c.code in SETTLES else c for c in known)
        return SagaView(
            order_id=self.saga.order_id,
            flow=self.plan.label,
            status=status,
            steps=tuple(self.step_view(s, awaited) for s in self.plan.steps),
            awaited=awaited,
            unexpected=self.unexpected(self.situation(status, entry)),
            imbalances=imbalances(self.saga, self.plan, self.ledger, status),
            cases=known,
            pin=pin_of(f for word in (PINNED, UNPINNED) for f in self.facts.get(word, ())),
            ledger=self.ledger,
            undoing=entry >= 0,
            past_pivot=self.past_pivot,
            started_at=start.at if start else None,
            ended_at=ended_at,
            paused=paused,
        )

    def situation(self, status: Status, entry: int) -> Situation:
        """Return the situation that a further event would meet."""
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

    def unexpected(self, where: Situation) -> tuple[Fact, ...]:
        """Return the first event of each type that should never occur in this situation.

        Types about which an intervention was opened are left out.
        """
        roles, silent = self.plan.roles, event_matrix.UNEXPECTED[where]
        odd = [
            t for t, those in self.facts.items() if those and roles.get(t, Role.FOREIGN) in silent
        ]
        return tuple(
            min(self.facts[type_], key=_log_order)
            for type_ in sorted(odd)
            if str(emission_id(self.saga.order_id, UNEXPECTED, type_)) not in self.saga.facts
        )

    # --- forward --------------------------------------------------------------------------------

    def forward(self, start: Fact) -> Iterable[Awaited]:
        """Yield each step to be done whose predecessors are all done, and contradictions."""
        before = [start]
        for place in self.plan.places:
            for step in place:
                if self.past_pivot and self.says_ended(step):
                    yield self.contradiction(step)
                elif before and not self.is_done(step):
                    yield self.expected(step, max(before, key=_log_order))
            done = all(self.is_done(s) for s in place)
            before = [self.last[s.name] for s in place] if done else []

    def expected(self, step: Step, trigger: Fact) -> Awaited:
        """Return what is awaited of a step that is to be done, and until when."""
        mode, allowed_s, events = AwaitMode.DO, step.deadline_s, (step.done, *step.failed)
        last = self.last.get(step.name)
        if last is not None and last.type in step.waits:
            answer = self.answer(step, last)
            if answer is None:
                mode, allowed_s, trigger = AwaitMode.WAIT, step.waits[last.type], last
            else:
                trigger = answer

        def after(seconds: float) -> datetime | None:
            return due_after(trigger.at, seconds, self.pauses)

        due = after(allowed_s)
        ask = step.asks.get(trigger.type) if mode == AwaitMode.WAIT else None
        if self.past_pivot:
            mode = mode if mode == AwaitMode.WAIT else AwaitMode.FORWARD
            found = self.escalated(step, mode, events, trigger, due, OVERDUE)
        else:
            attempt = len(self.requests(step)) + 1
            found = Awaited(step.name, mode, events, trigger.at, trigger.id, due, attempt=attempt)
        return asked(self.saga, found, trigger.type, ask, after) if ask else found

    def contradiction(self, step: Step) -> Awaited:
        """Return a step that is undone although the pivot is done: due at once, for a person."""
        last, since = self.last[step.name], self.latest((step, *self.plan.pivots))
        return self.escalated(step, AwaitMode.FORWARD, (step.done,), last, since, UNDONE_PAST_PIVOT)

    def escalated(
        self,
        step: Step,
        mode: AwaitMode,
        events: tuple[str, ...],
        trigger: Fact,
        due: datetime | None,
        code: str,
    ) -> Awaited:
        """Return a step past the pivot: nothing is undone, and an intervention is opened once."""
        if str(emission_id(self.saga.order_id, code, step.name)) in self.saga.facts:
            due = None
        return Awaited(step.name, mode, events, trigger.at, trigger.id, due, code=code)

    def answer(self, step: Step, wait: Fact) -> Fact | None:
        """Return a person's verdict on a wait, if given; after it the participant has to act."""
        if wait.type not in step.asks:
            return None
        given = (
            f
            for f in self.facts[self.flow.verdict]
            if f.at >= wait.at
            and f.detail.get("step") == step.name
            and f.detail.get("verdict") in ANSWERS
        )
        return max(given, key=_log_order, default=None)

    # --- backward -------------------------------------------------------------------------------

    def undo_entry(self) -> int:
        """Return the index of the place where the undo enters; -1 while nothing is to be undone.

        After a request it is the last place that can be undone. After a failure, or where something
        is undone already, it is the newest place that has reported anything or, while money is
        held, takes money.
        """
        if self.facts[self.flow.compensate] or self.facts[self.flow.cancel]:
            return self.plan.turn
        undoable = self.plan.places[: self.plan.turn + 1]
        if not any(f.type in self.plan.endings for p in undoable for f in self.last_words(p)):
            return -1
        payees = self.plan.payees if self.ledger.held_minor else ()
        return max(
            i for i, p in enumerate(undoable) if any(s.name in (*self.last, *payees) for s in p)
        )

    def backward(self, entry: int) -> Iterable[Awaited]:
        """Return the steps to undo in the newest place that is not undone; empty at the end."""
        for i in range(entry, -1, -1):
            waiting = [s for s in self.plan.places[i] if not self.is_ended(s)]
            if waiting:
                trigger = self.undo_trigger(i, entry)
                return [self.undo(step, trigger) for step in waiting]
        return []

    def undo_trigger(self, place: int, entry: int) -> Fact:
        """Return the event that told a place to undo. A repeated request is no new trigger."""
        if place < entry:
            ends = [self.first_end(s) for s in self.plan.places[place + 1]]
            return max((f for f in ends if f), key=_log_order)
        asked = [*self.facts[self.flow.compensate], *self.facts[self.flow.cancel]]
        ended = [f for event in self.plan.endings for f in self.facts[event]]
        return min(asked or ended, key=_log_order)

    def first_end(self, step: Step) -> Fact | None:
        """Return the event by which a step first failed or was undone.

        The step repeats it whenever it is asked again, which is no sign of life of the step before
        it.
        """
        words = (*step.failed, *([step.undone] if step.undone else []))
        ends = (f for word in words for f in self.facts.get(word, ()))
        return min(ends, key=_log_order, default=None)

    def undo(self, step: Step, trigger: Fact) -> Awaited:
        """Return what is awaited of a step that is to be undone, and when to ask again."""
        signs = [f for f in self.saga.facts.values() if self.flow.owners.get(f.type) == step.name]
        alive = max([trigger, *signs], key=_log_order)
        requests = self.requests(step)
        unheard = [f for f in requests if f.at > alive.at]
        due = alive.at + timedelta(seconds=step.deadline_s)
        if unheard:
            last = max(unheard, key=_log_order)
            due = last.at + backoff(step.deadline_s, len(unheard))
        stalled = self.flow.ceiling.is_reached(len(unheard), (due - alive.at).total_seconds())
        return Awaited(
            step=step.name,
            mode=AwaitMode.UNDO,
            events=(*([step.undone] if step.undone else []), *step.failed),
            since=alive.at,
            cause=alive.id,
            due=due,
            tries=len(unheard),
            attempt=len(requests) + 1,
            stalled=stalled,
        )

    def requests(self, step: Step) -> list[Fact]:
        """Return the monitor's own undo requests because of this step, by attempt.

        They are found by their derived ids, so nobody else's request can pass for one.
        """
        found: list[Fact] = []
        while self.facts[self.flow.compensate]:
            attempt = len(found) + 1
            fact = self.saga.facts.get(
                str(emission_id(self.saga.order_id, DEADLINE, step.name, attempt))
            )
            if fact is None:
                break
            found.append(fact)
        return found

    # --- state of the steps ---------------------------------------------------------------------

    def is_done(self, step: Step) -> bool:
        last = self.last.get(step.name)
        return last is not None and last.type == step.done

    def is_passed(self, step: Step) -> bool:
        """Tell if a step is done; a pivot that was once done stays passed, whatever follows."""
        return self.is_done(step) or (step.kind == PIVOT and step.done in self.facts)

    def is_ended(self, step: Step) -> bool:
        """Tell if nothing of a step is left: failed or undone, and a money step holds no money."""
        if not self.says_ended(step):
            return False
        return step.name not in self.plan.payees or self.ledger.held_minor == 0

    def says_ended(self, step: Step) -> bool:
        """Tell if the newest event in `last` says that the step failed or is undone."""
        last = self.last.get(step.name)
        return last is not None and last.type in self.plan.endings

    def step_view(self, step: Step, awaited: Iterable[Awaited]) -> StepView:
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

    def last_words(self, steps: Iterable[Step]) -> list[Fact]:
        return [self.last[s.name] for s in steps if s.name in self.last]

    def latest(self, steps: Iterable[Step]) -> datetime | None:
        """Return the log time of the newest event in `last` of these steps."""
        return max((f.at for f in self.last_words(steps)), default=None)


def _log_order(fact: Fact) -> tuple[datetime, str]:
    return fact.at, fact.id
