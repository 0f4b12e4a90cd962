"""Precompute the lookups of a flow version once, not for every saga. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from sagakit.flow.model import PIVOT, Flow, Step


class Role(StrEnum):
    """The role of an event in a flow version.

    `done`, `ended`, `declined` and `wait` are of steps that can be undone, `pivot_` roles of the
    pivot, `last_` roles of steps behind it. ended: failed or undone; declined: failed, of a step
    that takes money; sign: any other event of a step; word: event of a participant without a step;
    foreign: event of somebody who has no part in this version.
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
    SIGN = "sign"
    WORD = "word"
    FOREIGN = "foreign"


@dataclass(frozen=True, slots=True)
class Plan:
    """The lookups of a flow version.

    turn: index of the last place that can be undone; pivots: steps that, once done, forbid undoing;
    word_of: event type -> name of the step whose state it reports; endings: events after which
    nothing of their step is left; payees: steps that take money; keepers: steps that set units
    aside; roles: event type -> role, for every event.
    """

    flow: Flow
    label: str
    places: tuple[tuple[Step, ...], ...]
    steps: tuple[Step, ...]
    turn: int
    pivots: tuple[Step, ...]
    word_of: dict[str, str]
    endings: frozenset[str]
    payees: frozenset[str]
    keepers: frozenset[str]
    roles: Mapping[str, Role]

    @classmethod
    def of(cls, flow: Flow, version: int) -> Self:
        """Build the plan of one version."""
        places, turn = flow.places(version), flow.pivot_place(version)
        steps = tuple(step for place in places for step in place)
        last_place = places[turn] if turn >= 0 else ()
        failed = {event for step in steps for event in step.failed}
        payees = frozenset(owner for e in flow.captured if (owner := flow.owners.get(e)))
        return cls(
            flow=flow,
            label=flow.label(version),
            places=places,
            steps=steps,
            turn=turn,
            pivots=tuple(s for s in last_place if s.kind == PIVOT) or last_place,
            word_of={event: step.name for step in steps for event in _words(step)},
            endings=frozenset(failed | {step.undone for step in steps if step.undone}),
            payees=payees,
            keepers=frozenset(flow.owners[event] for event in flow.units.paths),
            roles={
                **{event: _role(flow, steps, event) for event in flow.owners},
                **{
                    event: role
                    for i, place in enumerate(places)
                    for step in place
                    for event, role in _roles(step, step.name in payees, behind=i > turn)
                },
            },
        )


def _words(step: Step) -> tuple[str, ...]:
    return (step.done, *step.failed, *step.waits, *([step.undone] if step.undone else []))


def _roles(step: Step, payee: bool, behind: bool) -> Iterator[tuple[str, Role]]:
    """Yield the roles of the events that report the state of a step."""
    done, ended, wait = Role.DONE, Role.ENDED, Role.WAIT
    failed = Role.DECLINED if payee else ended
    if step.kind == PIVOT:
        done, ended, wait = Role.PIVOT_DONE, Role.PIVOT_ENDED, Role.PIVOT_WAIT
        failed = ended
    elif behind:
        done, wait = Role.LAST_DONE, Role.LAST_WAIT
    yield step.done, done
    yield from ((event, failed) for event in step.failed)
    yield from ((event, ended) for event in (step.undone,) if event)
    yield from ((event, wait) for event in step.waits)


def _role(flow: Flow, steps: tuple[Step, ...], event: str) -> Role:
    """Return the role of an event that reports no state of a step."""
    named = {
        flow.start: Role.START,
        flow.cancel: Role.UNDO,
        flow.compensate: Role.UNDO,
        flow.verdict: Role.VERDICT,
        **({flow.pause: Role.PAUSE} if flow.pause else {}),
    }
    if event in named:
        return named[event]
    owner = flow.owners[event]
    if any(step.name == owner for step in steps):
        return Role.SIGN
    beside = {flow.owners[e] for e in named} | flow.observes.keys() - flow.steps.keys()
    return Role.WORD if owner in beside else Role.FOREIGN
