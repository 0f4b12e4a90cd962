"""Play recorded sagas under another flow, and compare with the present one. Pure: emits nothing.

The events of participants and people are played in log time. Before each of them the monitor is
asked, as if it had read everything before, what is due by then. The events that the monitor itself
recorded are left out, and those that are due are put in their place.

No log holds what an undo would have led to that was not asked for. So a play ends at the first undo
that the monitor asks for, and at one in the record that the played flow does not ask for. While a
saga is undone for another reason, it is asked again as often as the record says.

| action | the monitor |
|---|---|
| compensated | asks for the undo, or gives the timeout verdict that leads to it |
| reminded | reminds the role that is asked for a verdict |
| escalated | asks the senior role |
| intervention | calls a person |
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from saga_monitor.saga.deadlines import Emission, due_emissions
from saga_monitor.saga.facts import SOURCE, Fact, Saga, fold
from saga_monitor.saga.flow_plan import Plan
from saga_monitor.saga.interpreter import interpret
from saga_monitor.saga.view import (
    ESCALATION,
    SYSTEM_TIMEOUT,
    KindBalance,
    SagaView,
    Status,
)
from sagakit.contract.platform import (
    CompensationRequested,
    InterventionOpened,
    VerdictGiven,
    VerdictRequested,
)

_UNDO = (CompensationRequested.type, VerdictGiven.type)
_OWN = (*_UNDO, VerdictRequested.type, InterventionOpened.type)
_MOMENT = timedelta(milliseconds=1)


class Act(StrEnum):
    """Kinds of actions of the monitor, see the table above."""

    COMPENSATED = "compensated"
    REMINDED = "reminded"
    ESCALATED = "escalated"
    INTERVENTION = "intervention"


class Shift(StrEnum):
    """Compares an action under the played flow with the same action under the present one."""

    NEW = "new"
    GONE = "gone"
    EARLIER = "earlier"
    LATER = "later"


@dataclass(frozen=True, slots=True)
class Action:
    """Identifies an action of the monitor. subject: its step, or the code of its intervention."""

    act: Act
    subject: str


@dataclass(frozen=True, slots=True)
class Play:
    """Holds what the monitor would have done in a saga under a flow.

    actions: each with when it was first due; held: the balances at the undo it asked for; ended:
    when that, or an undo in the record that this flow does not ask for, ended the play.
    """

    actions: Mapping[Action, datetime] = field(default_factory=dict)
    held: tuple[KindBalance, ...] = ()
    ended: datetime | None = None


@dataclass(frozen=True, slots=True)
class HeldBalance:
    """Holds how much of a balance a saga had when an undo was asked for, and in the end."""

    name: str
    kind: str
    held: int
    held_at_end: int


@dataclass(frozen=True, slots=True)
class Deviation:
    """An action that the two flows have at different times, or only one of them has.

    at, was_at: when it is due under the played flow, and under the present one; balances: of a
    compensation that only one of them has.
    """

    act: Act
    subject: str
    change: Shift
    at: datetime | None
    was_at: datetime | None
    balances: tuple[HeldBalance, ...] = ()


@dataclass(frozen=True, slots=True)
class JudgedSaga:
    """A saga as it was recorded, with the differences between the two flows."""

    saga: str
    flow: str
    status: Status
    started_at: datetime | None
    ended_at: datetime | None
    differences: tuple[Deviation, ...]


def judge(saga: Saga, present: Plan, edited: Plan, until: datetime) -> JudgedSaga:
    """Play a saga under both plans, up to a log time, and return what differs."""
    recorded = fold(Saga(saga.key), *(f for f in saga.facts.values() if f.at <= until))
    view = interpret(recorded, present)
    now, then = play(recorded, present, until), play(recorded, edited, until)
    found = tuple(_differences(now, then, view))
    return JudgedSaga(saga.key, view.flow, view.status, view.started_at, view.ended_at, found)


def play(saga: Saga, plan: Plan, until: datetime) -> Play:
    """Return what the monitor would have done in a saga up to a log time."""
    player = _Player(Saga(saga.key), plan, saga.flow)
    for fact in saga.timeline():
        if player.act_before(fact.at):
            break
        is_undo = fact.type in _UNDO
        if not _is_own(fact) or (is_undo and player.view.undoing):
            player.saga = fold(player.saga, fact)
        elif is_undo:
            player.ended = fact.at
            break
    else:
        player.act_before(until)
    return Play(player.actions, player.held, player.ended)


class _Player:
    """Plays one saga. `saga`: its events so far; `flow`: the label that they have."""

    def __init__(self, saga: Saga, plan: Plan, flow: str | None) -> None:
        self.saga, self._plan, self._flow = saga, plan, flow
        self.actions: dict[Action, datetime] = {}
        self.held: tuple[KindBalance, ...] = ()
        self.ended: datetime | None = None

    @property
    def view(self) -> SagaView:
        return interpret(self.saga, self._plan)

    def act_before(self, at: datetime) -> bool:
        """Do what is due before a log time; return True if that ended the play."""
        while self.saga.facts:
            view = self.view
            if view.due is None or view.due >= at:
                break
            through = at if view.undoing else min(view.due + _MOMENT, at)
            emissions = [
                emission
                for emission in due_emissions(self.saga, view, through)
                if not (view.undoing and emission.event.type == CompensationRequested.type)
            ]
            for action in filter(None, (_action(emission) for emission in emissions)):
                self.actions.setdefault(action, view.due)
                if action.act is Act.COMPENSATED:
                    self.held, self.ended = view.balances, view.due
                    return True
            if not emissions:
                break
            self.saga = fold(self.saga, *(self._fact(one, through) for one in emissions))
        return False

    def _fact(self, emission: Emission, at: datetime) -> Fact:
        detail = {name: v for name, v in emission.event.to_dict().items() if v is not None}
        cause = str(emission.cause) if emission.cause else None
        return Fact(
            id=str(emission.id),
            type=emission.event.type,
            at=at,
            source=SOURCE,
            causation=cause,
            flow=self._flow,
            detail=detail,
        )


def _is_own(fact: Fact) -> bool:
    """Return True for an event that the monitor emitted by itself, not for a person."""
    return fact.type in _OWN and fact.detail.get("actor") in (None, SOURCE, SYSTEM_TIMEOUT)


def _action(emission: Emission) -> Action | None:
    """Return the action that an emission is."""
    match emission.event:
        case CompensationRequested(step=step) | VerdictGiven(step=step):
            return Action(Act.COMPENSATED, str(step))
        case VerdictRequested(step=step, code=code):
            return Action(Act.ESCALATED if code == ESCALATION else Act.REMINDED, step)
        case InterventionOpened(code=code):
            return Action(Act.INTERVENTION, code)
    return None


def _differences(now: Play, then: Play, view: SagaView) -> Iterator[Deviation]:
    """Yield what differs, by time. What a play cannot tell, because it ended, is no difference.

    A compensation is the same one whichever step it is for: a saga is undone once.
    """
    was, found = _by_key(now), _by_key(then)
    differences = []
    for key in was.keys() | found.keys():
        (action, at), (old, was_at) = found.get(key, (None, None)), was.get(key, (None, None))
        shown, change = action or old, _change(at, was_at, now, then)
        if shown is None or change is None:
            continue
        balances: tuple[HeldBalance, ...] = ()
        if shown.act is Act.COMPENSATED and change in (Shift.NEW, Shift.GONE):
            held = then.held if change is Shift.NEW else now.held
            balances = tuple(_held_balances(held, view.balances))
        differences.append(Deviation(shown.act, shown.subject, change, at, was_at, balances))
    yield from sorted(differences, key=lambda one: (str(one.at or one.was_at), one.act))


def _by_key(play: Play) -> dict[Action, tuple[Action, datetime]]:
    return {
        Action(action.act, "") if action.act is Act.COMPENSATED else action: (action, at)
        for action, at in play.actions.items()
    }


def _held_balances(
    held: Iterable[KindBalance], at_end: Iterable[KindBalance]
) -> Iterator[HeldBalance]:
    """Yield every balance and kind of which something was held at either moment."""
    was, ended = ({(row.name, row.kind): row.held for row in rows} for rows in (held, at_end))
    for name, kind in sorted(was.keys() | ended.keys()):
        amounts = was.get((name, kind), 0), ended.get((name, kind), 0)
        if any(amounts):
            yield HeldBalance(name, kind, *amounts)


def _change(at: datetime | None, was_at: datetime | None, now: Play, then: Play) -> Shift | None:
    if at is not None and was_at is not None:
        return None if at == was_at else Shift.EARLIER if at < was_at else Shift.LATER
    if at is not None:
        return Shift.NEW if now.ended is None or at <= now.ended else None
    gone = was_at is not None and (then.ended is None or was_at <= then.ended)
    return Shift.GONE if gone else None
