"""Plays one decision: given own past events, when a trigger comes, then events and effects.

`given(DISPATCH, Visit(), booked).when(Undo(...)).then(started, effects=[free])`
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

import orjson

from sagakit.decider import Decision, Effect, Trigger, fold
from sagakit.handling.own_events import check_own
from sagakit.store.effects import as_stored
from sagakit.store.json_rows import as_json
from sagakit.store.ports import Participant
from sagakit.store.state_table import TableStore

S = TypeVar("S")
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
"""The time at which decisions are made unless a test says another."""


@dataclass(frozen=True)
class Given:
    """Holds a participant and its state of one saga."""

    participant: Participant[Any]
    state: Any

    def when(self, trigger: Trigger, now: datetime = NOW) -> "Then":
        """Decide on a trigger.

        Raises what the kit raises for such a decision: ForeignEvent, or ValueError for a payload
        that is no JSON.
        """
        decision = self.participant.decide(self.state, trigger, now)
        for event in decision.adopted + decision.events:
            check_own(self.participant.name, event)
        for effect in decision.effects:
            as_stored(effect)
        return Then(self, decision)

    def without_pending(self, *keys: str) -> "Given":
        """Return the state without these pending effects, as while their results are handled."""
        left = self.state.in_flight - {*keys}
        return replace(self, state=replace(self.state, in_flight=left))


@dataclass(frozen=True)
class Then:
    """Holds the decision, and the state on which it was made."""

    given: Given
    decision: Decision

    def then(
        self, *events: Any, effects: Sequence[Effect] = (), adopted: Sequence[Any] = ()
    ) -> Given:
        """Check the decision, and return the state it leads to, for a next `when`.

        Raises:
            AssertionError: the decision has other events, effects or adopted events.
        """
        expected = Decision(events, tuple(effects), tuple(adopted))
        assert self.decision == expected, f"expected {expected}, decided {self.decision}"
        return self.state()

    def then_nothing(self) -> Given:
        """Check that nothing was decided."""
        return self.then()

    def state(self) -> Given:
        """Return the state after the decision, whatever it was; its effects are pending."""
        participant, decision = self.given.participant, self.decision
        state = fold(participant.evolve, self.given.state, decision.adopted + decision.events)
        pending = state.in_flight | {effect.key for effect in decision.effects}
        return Given(participant, replace(state, in_flight=pending))


def given(
    participant: Participant[Any], initial: Any, *own_events: Any, in_flight: Sequence[str] = ()
) -> Given:
    """Return the state after `own_events`, with the effects of these keys pending.

    `initial` is the state of an unknown saga.
    """
    state = fold(participant.evolve, initial, own_events)
    return Given(participant, replace(state, in_flight=frozenset(in_flight)))


def round_trip(store: TableStore[S], state: S) -> S:
    """Return the state as it is read back from its table row, with values as JSON has them."""
    columns = orjson.loads(as_json(store.to_row(state)))
    return store.from_row(list(columns.values()))
