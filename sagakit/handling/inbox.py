"""Checks a message against its saga's inbox row: repeat, too early, or next in sequence. Pure."""

from collections.abc import Iterable, Mapping

from sagakit.errors import SequenceConflict, SequenceGap
from sagakit.messages.envelope import Message
from sagakit.store.ports import InboxRow

MAX_IDS = 200
"""Number of ids without a sequence kept per saga (webhooks, people, outside publishers)."""


def is_repeat(message: Message, inbox_row: InboxRow) -> bool:
    """Tell whether a message was handled before.

    Raises SequenceConflict if another event had the latest sequence number.
    """
    if message.seq is None:
        return message.lease is None and str(message.id) in inbox_row.ids
    last, last_id = inbox_row.seen.get(message.source, [0, ""])
    if message.seq == last and last_id != str(message.id):
        raise SequenceConflict(
            f"event {message.seq} of {message.source} has id {message.id}, but id {last_id} was "
            f"handled under this number: {message.source} lost part of its database; stop it and "
            "rebuild it from the topics by hand (docs/runbooks/rebuild-a-database.md), then redrive"
        )
    return bool(message.seq <= last)


def check_sequence(message: Message, inbox_row: InboxRow) -> None:
    """Raise SequenceGap if events of the source before this one are missing."""
    if message.seq is None:
        return
    last = inbox_row.seen.get(message.source, [0, ""])[0]
    if message.seq > last + 1:
        raise SequenceGap(
            f"event {message.seq} of {message.source} arrived, but {last + 1} is missing; "
            f"republish {message.source}'s events of this saga"
        )


def fills_gap(message: Message, inbox_row: InboxRow) -> bool:
    """Tell whether this is the event that the inbox row's parked queue waits for."""
    last = inbox_row.seen.get(message.source, [0, ""])[0]
    return inbox_row.gap == message.source and message.seq == last + 1


def sagas_with_filled_gap(done: Iterable[Message], inbox_rows: Mapping[str, InboxRow]) -> set[str]:
    """Return the sagas whose parked queue may go on after these messages."""
    return {m.key for m in done if m.seq is not None and m.source == inbox_rows[m.key].gap}


def remember(message: Message, inbox_row: InboxRow) -> None:
    """Record a message as handled, by its sequence number or its id.

    An effect result has a lease instead: removing its effect already excludes a repeat.
    """
    if message.seq is not None:
        inbox_row.seen[message.source] = [message.seq, str(message.id)]
    elif message.lease is None:
        inbox_row.ids = [*inbox_row.ids, str(message.id)][-MAX_IDS:]
