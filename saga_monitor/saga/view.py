"""Hold a saga's state in the terms of its flow; `interpreter` derives it. Pure: no I/O, no clock.

Status of a saga:

| status | meaning |
|---|---|
| unplaced | events were read, but not the start event |
| running | going forward, a participant is expected to act |
| waiting | going forward, a wait event is open: a person, or somebody outside |
| paused | going forward, and a person has paused it: no new work starts, no deadline runs |
| undoing | being undone, or a step was done after it was undone (its outcome came late) |
| completed | every step is done |
| cancelled | undone back to the first step, and no balance of a step is held |
| intervention | neither completed nor cancelled, and an intervention is open |

`completed` and `cancelled` take precedence over an open intervention. The end of the saga settles
an intervention about time or progress (SETTLED_BY_END); any other stays open until a person closes
it.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from saga_monitor.saga.facts import Fact
from saga_monitor.saga.interventions import Intervention
from saga_monitor.saga.pauses import Pause
from saga_monitor.saga.pins import Pin

DEADLINE = "deadline"
OVERDUE, UNDONE_PAST_PIVOT, STALLED = "overdue_past_pivot", "undone_past_pivot", "undo_stalled"
UNEXPECTED, CONSERVATION = "unexpected_event", "conservation"
CONFLICT = "conflict"
REMINDER, ESCALATION, VERDICT = "reminder", "escalation", "verdict"
"""Codes of the monitor's events: the request to undo; interventions; and, while a step waits for a
verdict, the reminder, the escalation to the senior role, and the timeout verdict."""
SYSTEM_TIMEOUT = "system_timeout"
"""Actor of the timeout verdict, which the monitor gives in place of a person."""
SETTLED_BY_END = frozenset({OVERDUE, UNDONE_PAST_PIVOT, STALLED})
"""Codes of interventions that the end of the saga settles."""
ANSWERS = ("approve", "reject")
"""The verdicts that end a wait for a person."""
LONGEST_BACKOFF_S = 3600.0


class Status(StrEnum):
    """Status of a saga, see the table above."""

    UNPLACED = "unplaced"
    RUNNING = "running"
    WAITING = "waiting"
    PAUSED = "paused"
    UNDOING = "undoing"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    INTERVENTION = "intervention"


ENDED = (Status.COMPLETED, Status.CANCELLED)


class AwaitMode(StrEnum):
    """The action expected of a step: do, answer a wait, undo, or (past the pivot) only forward."""

    DO = "do"
    WAIT = "wait"
    UNDO = "undo"
    FORWARD = "forward"


@dataclass(frozen=True, slots=True)
class StepView:
    """One step. `status`: idle, due, waiting, done, failed, undoing or undone, since `since`."""

    name: str
    kind: str
    status: str
    since: datetime | None


@dataclass(frozen=True, slots=True)
class Approval:
    """The roles that are asked for a verdict.

    event: type of the event that asks; until: when the timeout verdict rejects; reminded: when the
    role was reminded; escalated: when the senior role was asked.
    """

    event: str
    role: str
    senior: str
    until: datetime | None
    reminded: datetime | None = None
    escalated: datetime | None = None

    @property
    def current_role(self) -> str:
        """Return the role that has to answer now."""
        return self.senior if self.escalated else self.role


@dataclass(frozen=True, slots=True)
class AwaitedStep:
    """The events expected of a step, and the monitor's next action while none of them comes.

    events: any one of them is enough; since: log time of the step's last event; cause: id of the
    fact that made it due; due: when the monitor acts next, None if it never does; tries: requests
    since the step's last event; attempt: number of the next request; code: of the event that the
    monitor emits next; approval: who has to give a verdict, if the step waits for one; stalled: the
    requests have reached the flow's ceiling.
    """

    step: str
    mode: AwaitMode
    events: tuple[str, ...]
    since: datetime
    cause: str
    due: datetime | None
    tries: int = 0
    attempt: int = 1
    code: str = DEADLINE
    approval: Approval | None = None
    stalled: bool = False


@dataclass(frozen=True, slots=True)
class Imbalance:
    """A balance that contradicts the saga's outcome.

    id: of the event that opens the intervention; cause: id of the last movement; due: when to open
    it, unless there is another movement first.
    """

    id: UUID
    cause: str
    due: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class NeededIntervention:
    """An intervention that the flow declares for an event of the saga.

    id: of the event that opens the intervention; fact: the event of the saga.
    """

    id: UUID
    code: str
    fact: Fact


@dataclass(frozen=True, slots=True)
class KindBalance:
    """Sums what a saga's events added to a balance, and removed from it, of one kind."""

    name: str
    kind: str
    added: int
    removed: int
    held: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "held", self.added - self.removed)


@dataclass(frozen=True, slots=True)
class SagaView:
    """The state of a saga in the terms of its flow.

    undoing: it is being undone or has been, never past the pivot; unexpected: events that must not
    occur in this state, and conflicts: events with another label than the start event, or under the
    id of another event, both without those that have an intervention; needed: interventions that
    the flow declares for its events, without those that were opened; paused: the current pause;
    pin: the pin that keeps it in the live tables.
    """

    key: str
    flow: str
    status: Status
    steps: tuple[StepView, ...]
    awaited: tuple[AwaitedStep, ...]
    unexpected: tuple[Fact, ...]
    needed: tuple[NeededIntervention, ...]
    imbalances: tuple[Imbalance, ...]
    interventions: tuple[Intervention, ...]
    pin: Pin | None
    balances: tuple[KindBalance, ...]
    undoing: bool
    past_pivot: bool
    started_at: datetime | None
    ended_at: datetime | None
    paused: Pause | None = None
    conflicts: tuple[Fact, ...] = ()

    @property
    def open_interventions(self) -> tuple[str, ...]:
        """Return the codes of the open interventions."""
        return tuple(one.code for one in self.interventions if one.is_open)

    @property
    def next(self) -> AwaitedStep | None:
        """Return the awaited step on which the monitor acts next."""
        return min((a for a in self.awaited if a.due), key=_due_time, default=None)

    @property
    def due(self) -> datetime | None:
        """Return when the monitor emits its next event; None: never."""
        times = [fact.at for fact in (*self.unexpected, *self.conflicts)]
        times += [one.fact.at for one in self.needed]
        times += [imbalance.due for imbalance in self.imbalances]
        times += [item.due for item in self.awaited if item.due]
        return min(times, default=None)


def backoff(deadline_s: float, tries: int) -> timedelta:
    """Return how long to wait for an answer to the `tries`-th request in a row."""
    longest = max(LONGEST_BACKOFF_S, deadline_s)
    return timedelta(seconds=min(deadline_s * 2.0 ** min(tries - 1, 32), longest))


def _due_time(item: AwaitedStep) -> datetime:
    assert item.due is not None
    return item.due
