"""Reads off the facts of a saga what they mean in a version of its flow. Pure: no I/O, no clock."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta

from saga_monitor.fold import CAPTURED, Fact, Saga, emission_id, ledger
from saga_monitor.view import (
    ANSWERS,
    ASKS_A_PERSON,
    DEADLINE,
    ENDED,
    OVERDUE,
    UNDONE_PAST_PIVOT,
    Awaited,
    Mode,
    SagaView,
    Status,
    StepView,
    backoff,
)
from sagakit.flow import PIVOT, Flow, Step

OPENED, RESOLVED = "InterventionOpened", "InterventionResolved"


def view(saga: Saga, flow: Flow, version: int) -> SagaView:
    """The saga read as `version` of `flow`."""
    return _Reading(saga, flow, version).view()


class _Reading:
    """The facts sorted by type, and the last word of every step."""

    def __init__(self, saga: Saga, flow: Flow, version: int) -> None:
        self.saga, self.flow, self.version = saga, flow, version
        self.places = flow.places(version)
        self.turn = flow.pivot_place(version)
        self.facts: dict[str, list[Fact]] = defaultdict(list)
        for fact in saga.facts.values():
            self.facts[fact.type].append(fact)
        self.ledger = ledger(saga.facts.values())
        self.failures = {event for place in self.places for s in place for event in s.failed}
        self.last = {s.name: self._last_word(s) for place in self.places for s in place}

    def view(self) -> SagaView:
        start = min(self.facts[self.flow.start], key=_log_order, default=None)
        steps = [s for place in self.places for s in place]
        completed = all(self.is_done(s) for s in steps)
        entry = -1 if self.is_past_pivot() else self.undo_entry()
        awaited: tuple[Awaited, ...] = ()
        if start is not None and not completed:
            awaited = tuple(self.backward(entry) if entry >= 0 else self.forward(start))
        interventions = self.open_interventions()
        if start is None:
            status = Status.UNPLACED
        elif completed:
            status = Status.COMPLETED
        elif entry >= 0 and not awaited:
            status = Status.CANCELLED
        elif interventions:
            status = Status.INTERVENTION
        elif entry >= 0:
            status = Status.UNDOING
        else:
            waits = any(a.mode == Mode.WAIT for a in awaited)
            status = Status.WAITING if waits else Status.RUNNING
        return SagaView(
            order_id=self.saga.order_id,
            flow=self.flow.label(self.version),
            status=status,
            steps=tuple(self.step_view(s, awaited) for s in steps),
            awaited=awaited,
            interventions=interventions,
            ledger=self.ledger,
            undoing=entry >= 0,
            past_pivot=self.is_past_pivot(),
            started_at=start.at if start else None,
            ended_at=self.latest(steps) if status in ENDED else None,
        )

    # --- forward --------------------------------------------------------------------------------

    def forward(self, start: Fact) -> Iterable[Awaited]:
        """What is due on the way on: a step whose predecessors are all done."""
        past = self.is_past_pivot()
        for i, place in enumerate(self.places):
            before = [self.last[s.name] for s in self.places[i - 1]] if i else [start]
            if i and not all(self.is_done(s) for s in self.places[i - 1]):
                before = []
            for step in place:
                if past and self.is_ended(step):
                    yield self.contradiction(step)
                elif before and not self.is_done(step):
                    trigger = max((f for f in before if f), key=_log_order)
                    yield self.expected(step, trigger, past)

    def expected(self, step: Step, trigger: Fact, past: bool) -> Awaited:
        """A step that is to be done, and until when."""
        mode, allowed_s, events = Mode.DO, step.deadline_s, (step.done, *step.failed)
        last = self.last[step.name]
        if last is not None and last.type in step.waits:
            answer = self.answer(step, last)
            if answer is None:
                mode, allowed_s, trigger = Mode.WAIT, step.waits[last.type], last
            else:
                trigger = answer
        due: datetime | None = trigger.at + timedelta(seconds=allowed_s)
        if not past:
            attempt = len(self.requests(step)) + 1
            return Awaited(step.name, mode, events, trigger.at, trigger.id, due, attempt=attempt)
        mode = mode if mode == Mode.WAIT else Mode.FORWARD
        return self.escalated(step, mode, events, trigger, due, OVERDUE)

    def contradiction(self, step: Step) -> Awaited:
        """Undone, and yet the pivot is done: only a person can settle that, and at once."""
        last = self.last[step.name]
        assert last is not None  # ended steps have a last word
        return self.escalated(
            step,
            Mode.FORWARD,
            (step.done,),
            last,
            self.latest(self.places[self.turn]),
            UNDONE_PAST_PIVOT,
        )

    def escalated(
        self,
        step: Step,
        mode: Mode,
        events: tuple[str, ...],
        trigger: Fact,
        due: datetime | None,
        code: str,
    ) -> Awaited:
        """Past the pivot nothing is undone; a person is called, once."""
        if str(emission_id(self.saga.order_id, code, step.name)) in self.saga.facts:
            due = None
        return Awaited(step.name, mode, events, trigger.at, trigger.id, due, code=code)

    def answer(self, step: Step, wait: Fact) -> Fact | None:
        """A person's decision on a wait for one: from then on it is the participant's turn."""
        if wait.type not in ASKS_A_PERSON:
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
        """The place where the undo enters: after a request the last that can be undone, after a
        failure the newest that has said anything; -1 while nothing is to be undone."""
        if self.facts[self.flow.compensate] or self.facts[self.flow.cancel]:
            return self.turn
        undoable = self.places[: self.turn + 1]
        words = [[f for s in place if (f := self.last[s.name])] for place in undoable]
        if not any(f.type in self.failures for said in words for f in said):
            return -1
        return max(i for i, said in enumerate(words) if said)

    def backward(self, entry: int) -> Iterable[Awaited]:
        """What is due on the way back: the newest place that is not undone; empty at the end."""
        for i in range(entry, -1, -1):
            waiting = [s for s in self.places[i] if not self.is_ended(s)]
            if waiting:
                trigger = self.undo_trigger(i, entry)
                return [self.undo(step, trigger) for step in waiting]
        return []

    def undo_trigger(self, place: int, entry: int) -> Fact:
        """What told a place to undo. Requests that repeat an earlier one are no new trigger."""
        if place < entry:
            told = [f for s in self.places[place + 1] if (f := self.last[s.name])]
            return max(told, key=_log_order)
        asked = [*self.facts[self.flow.compensate], *self.facts[self.flow.cancel]]
        failed = [f for event in self.failures for f in self.facts[event]]
        return min(asked or failed, key=_log_order)

    def undo(self, step: Step, trigger: Fact) -> Awaited:
        """A step that is to be undone, and when to ask again."""
        signs = [f for f in self.saga.facts.values() if self.flow.owners.get(f.type) == step.name]
        alive = max([trigger, *signs], key=_log_order)
        requests = self.requests(step)
        unheard = [f for f in requests if f.at > alive.at]
        due = alive.at + timedelta(seconds=step.deadline_s)
        if unheard:
            last = max(unheard, key=_log_order)
            due = last.at + backoff(step.deadline_s, len(unheard))
        attempt = len(requests) + 1
        events = (*([step.undone] if step.undone else []), *step.failed)
        return Awaited(step.name, Mode.UNDO, events, alive.at, alive.id, due, len(unheard), attempt)

    def requests(self, step: Step) -> list[Fact]:
        """The monitor's own requests to undo because of this step, by attempt. They are known by
        their ids, so nobody else's request can pass for one."""
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

    # --- the words ------------------------------------------------------------------------------

    def is_done(self, step: Step) -> bool:
        last = self.last[step.name]
        return last is not None and last.type == step.done

    def is_ended(self, step: Step) -> bool:
        """Nothing of it is left: failed or undone, and no money held where it takes money."""
        last = self.last[step.name]
        if last is None or not self._ends_a_step(last):
            return False
        takes_money = any(self.flow.owners.get(event) == step.name for event in CAPTURED)
        return not takes_money or self.ledger.held_minor == 0

    def is_past_pivot(self) -> bool:
        if self.turn < 0:
            return True
        place = self.places[self.turn]
        pivots = [s for s in place if s.kind == PIVOT] or place
        return all(self.is_done(s) for s in pivots)

    def open_interventions(self) -> tuple[str, ...]:
        """Codes opened and not resolved since."""
        resolved: dict[str, datetime] = {}
        for fact in self.facts[RESOLVED]:
            code = fact.detail.get("code", "")
            resolved[code] = max(fact.at, resolved.get(code, fact.at))
        return tuple(
            sorted(
                {
                    code
                    for fact in self.facts[OPENED]
                    if (code := fact.detail.get("code", "")) not in resolved
                    or resolved[code] < fact.at
                }
            )
        )

    def step_view(self, step: Step, awaited: Iterable[Awaited]) -> StepView:
        last = self.last[step.name]
        status, since = "idle", last.at if last else None
        if last is not None:
            status = "waiting"
            if last.type == step.done:
                status = "done"
            elif self._ends_a_step(last):
                status = "failed" if last.type in step.failed else "undone"
        for item in awaited:
            if item.step == step.name and status in ("idle", "waiting", "done"):
                named = {Mode.UNDO: "undoing", Mode.WAIT: "waiting"}
                status, since = named.get(item.mode, "due"), item.since
        return StepView(step.name, step.kind, status, since)

    def latest(self, steps: Iterable[Step]) -> datetime | None:
        """Log time of the newest last word."""
        return max((f.at for s in steps if (f := self.last[s.name])), default=None)

    def _last_word(self, step: Step) -> Fact | None:
        words = (step.done, *step.failed, *step.waits, *([step.undone] if step.undone else []))
        said = (f for word in words for f in self.facts.get(word, ()))
        return max(said, key=lambda f: f.place, default=None)

    def _ends_a_step(self, fact: Fact) -> bool:
        owner = self.flow.owners.get(fact.type)
        step = self.flow.steps.get(owner) if owner else None
        return step is not None and (fact.type in step.failed or fact.type == step.undone)


def _log_order(fact: Fact) -> tuple[datetime, str]:
    return fact.at, fact.id
