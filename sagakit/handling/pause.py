"""Holds records that would carry a paused saga forward until it is resumed. Pure.

A held record counts as handled, so later records pass: answers to calls in flight, observations,
and an undo. An undo lifts the pause at the participant it reaches and leaves a mark: a pause read
after it, from another topic, holds nothing there. The held record is kept among the parked ones
under the code `paused`, and is decided when the pause ends, as if it arrived then. `decide` never
sees the pause.
"""

from collections.abc import Iterable, Mapping, Set

from sagakit.decider import Command, Do, Trigger, Undo
from sagakit.messages.envelope import Message
from sagakit.store.ports import PAUSED, InboxRow

HELD, UNDONE = "held", "undone"
"""Marks of an inbox row beside PAUSED: some records are held; the saga was told to undo."""


def is_forward(triggers: Iterable[Trigger]) -> bool:
    """Tell whether any of the triggers would start new work."""
    return any(isinstance(trigger, Do | Command) for trigger in triggers)


def join_marks(inbox_row: InboxRow) -> frozenset[str]:
    """Return the inbox row's marks that belong to routing, without those of pausing."""
    return frozenset(inbox_row.marks) - {PAUSED, HELD, UNDONE}


def marks_after(marks: Set[str], triggers: Iterable[Trigger], paused: bool | None) -> list[str]:
    """Return the marks after an event with these triggers.

    `paused`: the event pauses the saga (True), lets it go on (False), or neither (None). After an
    undo, a pause adds no mark.
    """
    if any(isinstance(trigger, Undo) for trigger in triggers):
        marks = marks | {UNDONE}
    if paused is not None:
        marks = marks | {PAUSED} if paused and UNDONE not in marks else marks - {PAUSED}
    return sorted(marks)


def sagas_to_release(done: Iterable[Message], inbox_rows: Mapping[str, InboxRow]) -> set[str]:
    """Return the sagas that are not paused after these messages but still have held records."""
    keys = {message.key for message in done}
    return {k for k in keys if HELD in inbox_rows[k].marks and PAUSED not in inbox_rows[k].marks}
