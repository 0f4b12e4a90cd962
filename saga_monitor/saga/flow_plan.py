"""Precompute the lookups of a flow version, which all its sagas share. Pure."""

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from sagakit.flow.balances import Balance
from sagakit.flow.model import PIVOT, Flow, Step
from sagakit.flow.platform_events import COMPENSATION_REQUESTED, SAGA_PAUSED, VERDICT_GIVEN


class Role(StrEnum):
    """The role of an event in a flow version.

    `done`, `ended`, `declined` and `wait` are events of steps that can be undone; `pivot_` roles
    are events of the pivot, and `last_` roles those of steps behind it. ended: failed or undone;
    declined: failed, of a step with a balance to bring to zero; added: any other event of a step
    that adds to such a balance; progress: any other event of a step; other: event of a participant
    without a step; foreign: event of a participant that is not in this version.
    """

    START = "start"
    DONE = "done"
    ENDED = "ended"
    DECLINED = "declined"
    WAIT = "wait"
    PIVOT_DONE = "pivot_done"
    PIVOT_ENDED = "pivot_ended"
    PIVOT_WAIT = "pivot_wait"
    LAST_DONE = "last_done"
    LAST_WAIT = "last_wait"
    UNDO = "undo"
    VERDICT = "verdict"
    PAUSE = "pause"
    ADDED = "added"
    PROGRESS = "progress"
    OTHER = "other"
    FOREIGN = "foreign"


@dataclass(frozen=True, slots=True)
class Plan:
    """The lookups of a flow version.

    last_undoable: index of the last place that can be undone; pivots: steps that, once done, forbid
    undoing; step_of_event: event type -> name of the step whose state it reports; endings: events
    that report a step as failed or undone; balances: those that a step of this version adds to;
    moving: events that move a balance of the flow; balances_of_step: step -> names of the balances
    that its undo has to bring to zero; roles: event type -> role, for every event.
    """

    flow: Flow
    label: str
    places: tuple[tuple[Step, ...], ...]
    steps: tuple[Step, ...]
    last_undoable: int
    pivots: tuple[Step, ...]
    step_of_event: dict[str, str]
    endings: frozenset[str]
    balances: tuple[Balance, ...]
    moving: frozenset[str]
    balances_of_step: Mapping[str, tuple[str, ...]]
    roles: Mapping[str, Role]

    @classmethod
    def of(cls, flow: Flow, version: int) -> Self:
        """Build the plan of one version."""
        places, last_undoable = flow.places(version), flow.pivot_place(version)
        steps = tuple(step for place in places for step in place)
        last_place = places[last_undoable] if last_undoable >= 0 else ()
        failed = {event for step in steps for event in step.failed}
        names = {step.name for step in steps}
        balances = tuple(b for b in flow.balances if _is_moved_by(names, flow, b))
        of_step = {
            step: tuple(b.name for b in balances if b.step == step)
            for step in {b.step for b in balances if b.step}
        }
        return cls(
            flow=flow,
            label=flow.label(version),
            places=places,
            steps=steps,
            last_undoable=last_undoable,
            pivots=tuple(s for s in last_place if s.kind == PIVOT) or last_place,
            step_of_event={event: step.name for step in steps for event in _state_events(step)},
            endings=frozenset(failed | {step.undone for step in steps if step.undone}),
            balances=balances,
            moving=frozenset(event for balance in flow.balances for event in balance.paths),
            balances_of_step=of_step,
            roles={
                **{event: _other_role(flow, steps, event) for event in flow.owners},
                **{
                    event: role
                    for i, place in enumerate(places)
                    for step in place
                    for event, role in _step_roles(
                        step, step.name in of_step, past_pivot=i > last_undoable
                    )
                },
            },
        )


def _is_moved_by(steps: Set[str], flow: Flow, balance: Balance) -> bool:
    """Return True if one of these steps adds to the balance, and its own step is among them."""
    adding = {flow.owners[event] for event in balance.adds}
    return bool(adding & steps) and (balance.step is None or balance.step in steps)


def _state_events(step: Step) -> tuple[str, ...]:
    return (step.done, *step.failed, *step.waits, *([step.undone] if step.undone else []))


def _step_roles(step: Step, has_balance: bool, past_pivot: bool) -> Iterator[tuple[str, Role]]:
    """Yield the roles of the events that report the state of a step."""
    done, ended, wait = Role.DONE, Role.ENDED, Role.WAIT
    failed = Role.DECLINED if has_balance else ended
    if step.kind == PIVOT:
        done, ended, wait = Role.PIVOT_DONE, Role.PIVOT_ENDED, Role.PIVOT_WAIT
        failed = ended
    elif past_pivot:
        done, wait = Role.LAST_DONE, Role.LAST_WAIT
    yield step.done, done
    yield from ((event, failed) for event in step.failed)
    yield from ((event, ended) for event in (step.undone,) if event)
    yield from ((event, wait) for event in step.waits)


def _other_role(flow: Flow, steps: tuple[Step, ...], event: str) -> Role:
    """Return the role of an event that reports no state of a step."""
    named = {
        flow.start: Role.START,
        flow.cancel: Role.UNDO,
        COMPENSATION_REQUESTED: Role.UNDO,
        VERDICT_GIVEN: Role.VERDICT,
        SAGA_PAUSED: Role.PAUSE,
    }
    if event in named:
        return named[event]
    owner = flow.owners[event]
    if any(step.name == owner for step in steps):
        adds = any(event in balance.adds and balance.step == owner for balance in flow.balances)
        return Role.ADDED if adds else Role.PROGRESS
    stepless = {flow.owners[e] for e in named} | flow.observes.keys() - flow.steps.keys()
    return Role.OTHER if owner in stepless else Role.FOREIGN
