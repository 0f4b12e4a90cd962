"""What a participant is told and what it answers: `decide(state, trigger, now) -> Decision`.

The pattern is the Decider (J. Chassaing, "Functional Event Sourcing Decider"): `decide` is pure
and total, `evolve` folds the participant's own events, and the state is nothing else than that
fold. The one mark of work in flight is a pending effect, which the kit shows to `decide` as
`state.in_flight`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Protocol, TypeVar

Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]


class Event(Protocol):
    """A fact of the contract: a frozen dataclass generated from its `.avsc`."""

    type: ClassVar[str]
    owner: ClassVar[str]

    def to_dict(self) -> dict[str, Any]:
        """The Avro record as fastavro writes it."""
        ...


# --- triggers -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Do:
    """Carry out your step. `event` is the fact that made it due (it holds the order's facts)."""

    event: Any


@dataclass(frozen=True, slots=True)
class Undo:
    """Undo your step; where there is nothing to undo, leave a fence. Answered with `undone`."""

    event: Any
    reason: str


@dataclass(frozen=True, slots=True)
class Observed:
    """A fact outside the do/undo chain that the flow's `[observes]` lists for this participant.

    `name` is the event type, or `completed` / `undone` for the moment in which the saga ended.
    """

    name: str
    event: Any


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an effect. `result` is one of the participant's own result types."""

    effect: "Effect"
    result: Any


@dataclass(frozen=True, slots=True)
class Callback:
    """The outside world calls back, in its own time. `result` as in `Outcome`."""

    result: Any


@dataclass(frozen=True, slots=True)
class Verdict:
    """A person's decision or command, for example `approve`, `reject`, `place`, `restock`."""

    verdict: str
    actor: str
    reason: str
    data: Any = None


Trigger = Do | Undo | Observed | Outcome | Callback | Verdict


# --- the answer ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Effect:
    """A durable intent to call the outside world, executed after commit, at least once.

    `key` is the idempotency key given to the provider and unique among the participant's
    effects: adding a key that is pending already changes nothing. `payload` is JSON.
    """

    kind: str
    key: str
    payload: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Decision:
    """Own events in order, effects, and `adopted`: own-type events that are on the log already
    (published by somebody else, such as the shop's own order system) and only have to be folded.
    """

    events: tuple[Any, ...] = ()
    effects: tuple[Effect, ...] = ()
    adopted: tuple[Any, ...] = ()


NOTHING = Decision()


class State(Protocol):
    """A frozen dataclass, all fields with defaults (the state of an order never heard of).

    The kit sets `in_flight` (keys of the order's pending effects) before each `decide`; `evolve`
    leaves it alone and stores do not save it.
    """

    @property
    def in_flight(self) -> frozenset[str]: ...


S = TypeVar("S")
Decide = Callable[[S, Trigger, datetime], Decision]
Evolve = Callable[[S, Any], S]


def fold(evolve: "Evolve[S]", state: S, events: tuple[Any, ...]) -> S:
    """The state after `events`."""
    for event in events:
        state = evolve(state, event)
    return state
