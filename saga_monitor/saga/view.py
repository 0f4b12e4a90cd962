"""A saga in the words of its flow, as `reading` reads it off the facts. Pure: no I/O, no clock.

Status of a saga:

| status | meaning |
|---|---|
| unplaced | facts are known, the start event is not |
| running | going forward, somebody is expected to act |
| waiting | going forward, a wait event is open: a person, a bank, a carrier |
| paused | going forward, and a person has paused it: nothing new is begun, no deadline runs |
| undoing | on the way back, or done again after it was undone (a late capture) |
| completed | every step is done |
| cancelled | undone back to the first step, and no money is held |
| intervention | neither of both, and a case is open that only a person can close |

`completed` and `cancelled` win over an open intervention. A case about time or progress (SETTLES)
has settled itself then; any other stays open until a person closes it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from saga_monitor.saga.facts import Fact, Ledger
from saga_monitor.saga.interventions import Case
from saga_monitor.saga.pauses import Pause
from saga_monitor.saga.pins import Pin

DEADLINE = "deadline"
OVERDUE, UNDONE_PAST_PIVOT, STALLED = "overdue_past_pivot", "undone_past_pivot", "undo_stalled"
UNEXPECTED, CONSERVATION, UNITS_LOST = "unexpected_event", "conservation", "units_conservation"
REMINDER, ESCALATION, VERDICT = "reminder", "escalation", "verdict"
"""Codes of what the monitor emits: a request to undo, cases for a person, and, of a wait for a
verdict, that it is still awaited, that it is a senior's turn, and the verdict that nobody gave."""
SYSTEM_TIMEOUT = "system_timeout"
"""The actor of the verdict that nobody gave."""
SETTLES = frozenset({OVERDUE, UNDONE_PAST_PIVOT, STALLED})
"""Codes of cases that are over when the order has ended."""
ANSWERS = ("approve", "reject")
"""The verdicts that end a wait for a person."""
LONGEST_BACKOFF_S = 3600.0


class Status(StrEnum):
    """Of a saga, see the table above."""

    UNPLACED = "unplaced"
    RUNNING = "running"
    WAITING = "waiting"
    PAUSED = "paused"
    UNDOING = "undoing"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    INTERVENTION = "intervention"


ENDED = (Status.COMPLETED, Status.CANCELLED)


class Mode(StrEnum):
    """What is expected of a step: do, answer to a wait, undo, or (past the pivot) only forward."""

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
class Asked:
    """Who is asked for a verdict. event: that asks; until: then silence is a no; reminded,
    escalated: when the role was asked again, and when it became the senior's turn."""

    event: str
    role: str
    senior: str
    until: datetime | None
    reminded: datetime | None = None
    escalated: datetime | None = None

    @property
    def turn(self) -> str:
        """Whose it is."""
        return self.senior if self.escalated else self.role


@dataclass(frozen=True, slots=True)
class Awaited:
    """What is expected of a step.

    events: any of them would do; since: of the last sign of life; cause: id of the fact that made
    it due; due: when the monitor acts next, None if it never does; tries: how often it asked since
    the last sign of life; attempt: number of its next request; code: of what it says then; asked:
    who is to give a verdict, where it waits for one; stalled: it asked up to the flow's ceiling.
    """

    step: str
    mode: Mode
    events: tuple[str, ...]
    since: datetime
    cause: str
    due: datetime | None
    tries: int = 0
    attempt: int = 1
    code: str = DEADLINE
    asked: Asked | None = None
    stalled: bool = False


@dataclass(frozen=True, slots=True)
class Imbalance:
    """Money, or units, that do not add up. code: of the case; id: of the event that says so;
    cause: id of the last movement; due: when to say it, if nothing has moved by then."""

    id: UUID
    cause: str
    due: datetime
    reason: str
    code: str = CONSERVATION


@dataclass(frozen=True, slots=True)
class SagaView:
    """A saga in the words of its flow. undoing, past the pivot never: it is on the way back, or has
    arrived; unexpected: events that should never have been said, and no case is open about yet;
    paused: the pause that lasts; pin: who wants to keep it at hand."""

    order_id: str
    flow: str
    status: Status
    steps: tuple[StepView, ...]
    awaited: tuple[Awaited, ...]
    unexpected: tuple[Fact, ...]
    imbalances: tuple[Imbalance, ...]
    cases: tuple[Case, ...]
    pin: Pin | None
    ledger: Ledger
    undoing: bool
    past_pivot: bool
    started_at: datetime | None
    ended_at: datetime | None
    paused: Pause | None = None

    @property
    def interventions(self) -> tuple[str, ...]:
        """Codes of the open cases."""
        return tuple(case.code for case in self.cases if case.is_open)

    @property
    def next(self) -> Awaited | None:
        """What the monitor acts on next."""
        return min((a for a in self.awaited if a.due), key=_due, default=None)

    @property
    def due(self) -> datetime | None:
        """When the monitor speaks next; None: never."""
        dues = [fact.at for fact in self.unexpected]
        dues += [found.due for found in self.imbalances]
        dues += [awaited.due for awaited in self.awaited if awaited.due]
        return min(dues, default=None)


def backoff(deadline_s: float, tries: int) -> timedelta:
    """How long to wait after the `tries`-th request that brought no sign of life."""
    longest = max(LONGEST_BACKOFF_S, deadline_s)
    return timedelta(seconds=min(deadline_s * 2.0 ** min(tries - 1, 32), longest))


def _due(awaited: Awaited) -> datetime:
    assert awaited.due is not None
    return awaited.due
