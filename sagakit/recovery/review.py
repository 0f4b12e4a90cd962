"""Reviews what a rebuilt participant decides, before it is carried out; see `Handler.review`."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from typing import Protocol

from sagakit.decider import NOTHING, Decision
from sagakit.messages.envelope import Message
from sagakit.recovery.answered import Asked, OwnEvent, StepEnds, unanswered
from sagakit.recovery.lost import logged_ms

ASKED_BEFORE = "it was asked for something before the own topic begins, which may be answered"


class KnownEvents(Protocol):
    """Knows own events and lost sagas: the part of `target.RebuildTarget` that the review uses."""

    def events_of(self, sagas: Sequence[str]) -> Mapping[str, Sequence[OwnEvent]]:
        """Return the own events of these sagas in the log."""
        ...

    def lost_among(self, sagas: Sequence[str]) -> Set[str]:
        """Return those of these sagas that are not recovered."""
        ...

    def note_lost(self, lost: Mapping[str, str]) -> None:
        """Store sagas that are not recovered, with the reason."""
        ...


class Review:
    """Leaves out of each decision what own events answered, and what nobody can know of.

    `step`, see `answered.unanswered`; `since_ms`, see `plan.RebuildPlan`.
    """

    def __init__(self, known: KnownEvents, step: StepEnds, since_ms: Mapping[int, int]) -> None:
        self._known, self._step, self._since_ms = known, step, since_ms

    def __call__(self, message: Message, decision: Decision) -> Decision:
        """See `Handler`. Only records come here: there is neither a webhook nor a worker."""
        record = message.record
        if record is None or decision == NOTHING:
            return decision
        key, asked = message.key, Asked(message.id, logged_ms(record))
        own = self._known.events_of([key])[key]
        # what is adopted is on the own topic, and folded by now
        decision = unanswered(replace(decision, adopted=()), asked, own, self._step)
        if not (decision.events or decision.effects):
            return NOTHING
        if asked.logged_ms < self._since_ms.get(record.partition, 0):
            self._known.note_lost({key: ASKED_BEFORE})
        return NOTHING if self._known.lost_among([key]) else decision
