"""Checks that a record leaves room for the events to come, before anything is done for it. Pure.

A forward event carries the facts on, so own events are about as large as their cause, and a little
larger at each step. The outcome of an effect is encoded after the outside was called. Were it too
large then, nobody could be told of money that has moved.
"""

from collections.abc import Sequence

from sagakit.decider import Do, Trigger, Undo
from sagakit.errors import RecordTooLarge
from sagakit.messages.codec import MAX_EVENT_BYTES
from sagakit.messages.envelope import Message

ROOM_BYTES, START_ROOM_BYTES = 16 * 1024, 64 * 1024
"""Room for the outcome of an effect, and for all that the steps of a saga add to its start event.

What a gateway returns is bounded to far less."""


def check_room(
    message: Message, triggers: Sequence[Trigger], *, starts: bool, has_effects: bool
) -> None:
    """Raise RecordTooLarge if the events to come might be too large; never for an undo.

    starts: the event starts a saga; has_effects: the outside is about to be called.
    """
    if message.record is None or any(isinstance(trigger, Undo) for trigger in triggers):
        return
    begins = starts and any(isinstance(trigger, Do) for trigger in triggers)
    room = START_ROOM_BYTES if begins else ROOM_BYTES if has_effects else 0
    size = len(message.record.value or b"")
    if size > MAX_EVENT_BYTES - room:
        raise RecordTooLarge(
            f"the record has {size} bytes, and the events that follow from it need room: the limit "
            f"here is {MAX_EVENT_BYTES - room}; publish a smaller one, then discard this one"
        )
