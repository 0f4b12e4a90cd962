"""Binds each saga to its start event, and routes messages by what that event says. Pure.

The start event that the log has first labels the saga and holds its facts, whoever published it.
A later one is refused: nobody acts on it, and only who observes `refused` hears of it. Before the
start event was read, no event of the saga is acted on. An event with another label or with other
facts, and one under an id that another type has used, contradict it: SagaConflict.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sagakit.decider import Trigger
from sagakit.errors import SagaConflict, StartUnread, UnknownFlow, UnprocessableRecord
from sagakit.flow.facts import differing_fact, facts_of
from sagakit.flow.routing import Router, is_void
from sagakit.handling.pause import join_marks
from sagakit.messages.envelope import Message
from sagakit.store.ports import InboxRow


@dataclass(frozen=True, slots=True)
class RoutedMessage:
    """Pairs a message with the triggers it causes if it is admitted.

    `facts`: those of the saga, as in its inbox row; `starts`: it is the start event that the log
    has first; `refusal`: why it is not acted on.
    """

    message: Message
    label: str | None
    facts: str | None = None
    triggers: tuple[Trigger, ...] = ()
    marks: frozenset[str] = frozenset()
    paused: bool | None = None
    starts: bool = False
    refusal: UnprocessableRecord | None = None


@dataclass(slots=True)
class _Known:
    label: str | None
    facts: str | None
    marks: frozenset[str]


class BatchRouting:
    """Routes the messages of a batch in turn; a start event counts for those behind it."""

    def __init__(self, router: Router, inbox_rows: Mapping[str, InboxRow]) -> None:
        self._router = router
        self._known = {
            key: _Known(row.flow, row.facts, join_marks(row)) for key, row in inbox_rows.items()
        }

    def plan(self, message: Message) -> RoutedMessage:
        """Route a message before admission: the store must know which states to load."""
        known = self._known[message.key]
        if message.event is None:
            triggers = (message.trigger,) if message.trigger else ()
            label = message.trace.flow or known.label
            if known.facts is not None and known.label:
                label = known.label
            return RoutedMessage(message, label, known.facts, triggers)
        message = self._believed(message)
        try:
            label = self._label(message, known)
        except SagaConflict as conflict:
            return RoutedMessage(message, known.label, known.facts, refusal=conflict)
        except UnprocessableRecord as poison:
            return RoutedMessage(replace(message, event=None, poison=poison), None)
        if label is None:  # it belongs to no saga, so no flow routes it
            return RoutedMessage(message, known.label, known.facts)
        if self._router.starts(label, message.event):
            return self._start(message, label, known)
        if known.facts is None:
            return self._early(message, label, known)
        return self._route(message, known.label or label, known)

    def _believed(self, message: Message) -> Message:
        """Return the message without its sequence number, unless its topic's owner gave it one."""
        owner = message.event.owner
        if message.seq is None or (message.source == owner):
            return message
        return replace(message, seq=None)

    def _label(self, message: Message, known: _Known) -> str | None:
        """Return the label of an event. Raises UnknownFlow, and SagaConflict for another one."""
        event, given = message.event, message.trace.flow
        try:
            label = self._router.label(given, event, known.label)
        except UnknownFlow as error:
            if known.facts is None or not self._router.knows(known.label):
                raise
            if self._router.starts(known.label, event):
                return known.label
            raise _other_label(message, known.label) from error
        if label is None or known.facts is None or known.label in (None, label):
            return label
        if self._router.starts(label, event):
            return known.label
        if self._router.listens(label, event.type) or self._router.listens(known.label, event.type):
            raise _other_label(message, known.label)
        return known.label

    def _start(self, message: Message, label: str, known: _Known) -> RoutedMessage:
        facts = f"{message.id} {facts_of(message.event)}".rstrip()
        if known.facts in (None, facts):
            known.label, known.facts = label, facts
        is_later = known.facts != facts
        routed = self._router.route(label, message.event, known.marks, refused=is_later)
        known.marks = routed.marks
        return RoutedMessage(
            message, label, known.facts, routed.triggers, routed.marks, starts=not is_later
        )

    def _early(self, message: Message, label: str, known: _Known) -> RoutedMessage:
        refusal = None
        if self._router.listens(label, message.event.type):
            refusal = StartUnread(
                f"the start event of {message.key} was not read yet; this is handled once it is"
            )
        return RoutedMessage(message, known.label, refusal=refusal)

    def _route(self, message: Message, label: str, known: _Known) -> RoutedMessage:
        event = message.event
        acts = self._router.listens(label, event.type) and not is_void(event)
        if acts and known.facts and (name := differing_fact(event, known.facts)):
            conflict = SagaConflict(
                f"{event.type} carries another `{name}` than the start event of {message.key}; "
                "find out who published it, then discard it"
            )
            return RoutedMessage(message, label, known.facts, refusal=conflict)
        routed = self._router.route(label, event, known.marks)
        known.marks = routed.marks
        return RoutedMessage(
            message, label, known.facts, routed.triggers, routed.marks, routed.paused
        )


def _other_label(message: Message, label: str | None) -> SagaConflict:
    return SagaConflict(
        f"{message.event.type} has the header flow {(message.trace.flow or '')[:80]!r}, but "
        f"{message.key} started on {label}; find out who published it, then discard it"
    )
