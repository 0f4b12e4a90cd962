"""Given own past events, when a trigger, then events and effects.

given(PAYMENT, captured()).when(Undo(...)).then(PaymentRefundStarted(...), effects=[...])
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

import orjson

from sagakit.decider import Decision, Effect, Trigger, fold
from sagakit.store.json_rows import as_json
from sagakit.store.ports import Participant
from sagakit.store.state_table import TableStore

S = TypeVar("S")
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@dataclass(frozen=True)
class Given:
    """A participant's state."""

    participant: Participant[Any]
    state: Any

    def when(self, trigger: Trigger, now: datetime = NOW) -> "Then":
        """Decide."""
        return Then(self, self.participant.decide(self.state, trigger, now))


@dataclass(frozen=True)
class Then:
    """What was decided."""

    given: Given
    decision: Decision

    def then(self, *events: Any, effects: tuple[Effect, ...] | list[Effect] = ()) -> Given:
        """Exactly these events and effects; returns the state they lead to, for a next `when`."""
        assert self.decision.events == events
        assert self.decision.effects == tuple(effects)
        participant = self.given.participant
        state = fold(participant.evolve, self.given.state, self.decision.adopted + events)
        flying = state.in_flight | {e.key for e in effects}
        return Given(participant, replace(state, in_flight=flying))

    def then_nothing(self) -> Given:
        """No event, no effect."""
        return self.then()


def given(
    participant: Participant[Any], initial: Any, *own_events: Any, in_flight: tuple[str, ...] = ()
) -> Given:
    """The state after `own_events`, with effects of these keys pending."""
    state = fold(participant.evolve, initial, own_events)
    return Given(participant, replace(state, in_flight=frozenset(in_flight)))


def through_its_table(store: TableStore[S], state: S) -> S:
    """The state as it comes back from its table: all but the views."""
    row = orjson.loads(as_json(store.to_row(state)))
    return store.from_row(list(row.values()))
