"""Defines triggers, decisions and effects: `decide(state, trigger, now) -> Decision`.

The pattern is the Decider (J. Chassaing, "Functional Event Sourcing Decider"): `decide` is pure
and total, `evolve` folds the participant's own events, and the state is nothing but that fold. Only
a pending effect marks work in flight; the kit shows it to `decide` as `state.in_flight`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar, Protocol, TypeVar

Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]


class Event(Protocol):
    """An event of the contract: a frozen dataclass generated from its `.avsc`."""

    type: ClassVar[str]
    owner: ClassVar[str]
    saga_id_field: ClassVar[str | None]
    void_when: ClassVar[str | None]

    def to_dict(self) -> dict[str, Any]:
        """Return the Avro record in the form that fastavro writes."""
        ...


# --- triggers -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Do:
    """Tells a participant to carry out its step.

    `event` made the step due and holds the saga's facts.
    """

    event: Any


@dataclass(frozen=True, slots=True)
class Undo:
    """Tells a participant to undo its step, or to leave a fence if there is nothing to undo.

    The participant answers with its `undone` event.
    """

    event: Any
    reason: str


@dataclass(frozen=True, slots=True)
class Observed:
    """Reports an event that the flow's `[observes]` lists for this participant.

    The event is outside the do/undo chain. `name` is the event type, or `completed` / `undone` for
    the event that ended the saga.
    """

    name: str
    event: Any


@dataclass(frozen=True, slots=True)
class EffectResult:
    """Reports the result of an effect. `result` is one of the participant's own result types."""

    effect: "Effect"
    result: Any


@dataclass(frozen=True, slots=True)
class Callback:
    """Reports a call from a provider, such as a webhook, at any time.

    `result` is one of the participant's own result types, as in `EffectResult`.
    """

    result: Any


@dataclass(frozen=True, slots=True)
class Command:
    """Reports a person's command or decision.

    `name` says which: `approve`, `reject`, `place`, `restock`; `data` holds its arguments.
    """

    name: str
    actor: str
    reason: str
    data: Any = None


Trigger = Do | Undo | Observed | EffectResult | Callback | Command


# --- the decision -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Effect:
    """A durable intent to call the outside world, executed after commit, at least once.

    `key` names the call within its saga, such as `call` or `undo:2`: adding the same effect while
    it is pending changes nothing, and another call under its key is refused. `payload` is JSON.
    `saga`: the saga key, which the kit sets before the call; gateways send it as the provider's
    reference. The kit also sets `attempts`, how often the call was begun before without a result,
    and `age`, how long ago it was decided.
    """

    kind: str
    key: str
    payload: Mapping[str, Json]
    saga: str = ""
    attempts: int = field(default=0, compare=False)
    age: timedelta = field(default=timedelta(), compare=False)

    @property
    def idempotency_key(self) -> str:
        """The key under which the provider makes this call once."""
        return self.key_of(self.key)

    def key_of(self, key: str) -> str:
        """Return the idempotency key of the participant's call `key` in the same saga."""
        return f"{self.saga}:{key}"


@dataclass(frozen=True, slots=True)
class Decision:
    """Holds a participant's answer to a trigger: its own events in order, and effects.

    `adopted`: events of the participant's own types that another publisher, such as a system that
    was there before, has already published. They are folded into the state and not published again.
    """

    events: tuple[Any, ...] = ()
    effects: tuple[Effect, ...] = ()
    adopted: tuple[Any, ...] = ()


NOTHING = Decision()


class State(Protocol):
    """A participant's state of one saga: a frozen dataclass whose fields all have defaults.

    The defaults are the state of an unknown saga. The kit sets `in_flight` (keys of the saga's
    pending effects) before each `decide`; `evolve` does not change it and stores do not save it.
    """

    @property
    def in_flight(self) -> frozenset[str]: ...


S = TypeVar("S")
Decide = Callable[[S, Trigger, datetime], Decision]
Evolve = Callable[[S, Any], S]


def fold(evolve: "Evolve[S]", state: S, events: tuple[Any, ...]) -> S:
    """Return the state after `events`. Raises TypeError if `evolve` returns None."""
    for event in events:
        state = evolve(state, event)
        if state is None:
            raise TypeError(
                f"evolve returned None for {event.type}; return the state, also for an event that "
                "does not change it"
            )
    return state
