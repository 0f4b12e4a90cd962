"""A version of a flow, looked up once and for all instead of with every saga. Pure."""

from dataclasses import dataclass
from typing import Self

from sagakit.flow import PIVOT, Flow, Step


@dataclass(frozen=True, slots=True)
class Plan:
    """The words of a flow version.

    turn: index of the last place that can be undone; pivots: steps that, done, forbid undoing;
    word_of: event type -> name of the step whose last word it may be; endings: events after which
    nothing of their step is left; payees: steps that take money.
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

    @classmethod
    def of(cls, flow: Flow, version: int) -> Self:
        """The plan of one version."""
        places, turn = flow.places(version), flow.pivot_place(version)
        steps = tuple(step for place in places for step in place)
        last_place = places[turn] if turn >= 0 else ()
        failed = {event for step in steps for event in step.failed}
        return cls(
            flow=flow,
            label=flow.label(version),
            places=places,
            steps=steps,
            turn=turn,
            pivots=tuple(s for s in last_place if s.kind == PIVOT) or last_place,
            word_of={event: step.name for step in steps for event in _words(step)},
            endings=frozenset(failed | {step.undone for step in steps if step.undone}),
            payees=frozenset(owner for e in flow.captured if (owner := flow.owners.get(e))),
        )


def _words(step: Step) -> tuple[str, ...]:
    return (step.done, *step.failed, *step.waits, *([step.undone] if step.undone else []))
