"""Checks a message against its saga's inbox row: repeat, too early, or next in sequence. Pure.

A sequence number is that of the topic's owner (`binding`), so `seen` has one count per owner. An id
without a number is known per owner as well: whoever writes one topic uses up no id of another.
"""

from collections.abc import Iterable, Mapping

from sagakit.errors import SagaConflict, SequenceConflict, SequenceGap
from sagakit.messages.envelope import Message
from sagakit.store.ports import InboxRow

MAX_IDS = 100
"""Number of ids without a sequence kept per saga and owner (people, outside publishers)."""


def is_repeat(message: Message, inbox_row: InboxRow) -> bool:
    """Tell whether a message was handled before.

    Raises SequenceConflict if another event had the latest sequence number, and SagaConflict if an
    event of another type had its id.
    """
    if message.seq is None:
        return message.lease is None and _is_known(message, inbox_row)
    last, last_id = inbox_row.seen.get(message.source, [0, ""])
    if message.seq == last and last_id != str(message.id):
        raise SequenceConflict(
            f"event {message.seq} of {message.source} has id {message.id}, but id {last_id} was "
            f"handled under this number: {message.source} lost part of its database; stop it and "
            "rebuild it (`saga rebuild`, docs/runbooks/rebuild-a-database.md), then redrive"
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
        owned, type_ = _known_as(message)
        kept = [known for known in inbox_row.ids if _owner(known) == _owner(owned)]
        forgotten = set(kept[: max(0, len(kept) + 1 - MAX_IDS)])
        inbox_row.ids = [known for known in inbox_row.ids if known not in forgotten]
        inbox_row.ids.append(f"{owned} {type_}")


def _known_as(message: Message) -> tuple[str, str]:
    """Return the id of a message without a number, with its owner; and its type."""
    event = message.event
    return (f"{event.owner} {message.id}", event.type) if event else (f" {message.id}", "")


def _owner(known: str) -> str:
    return known.partition(" ")[0]


def _is_known(message: Message, inbox_row: InboxRow) -> bool:
    owned, type_ = _known_as(message)
    found = next((known for known in inbox_row.ids if known.startswith(f"{owned} ")), None)
    if found is None or found == f"{owned} {type_}":
        return found is not None
    raise SagaConflict(
        f"the id {message.id} of this {type_} was used by another event of its topic, a "
        f"{found.rpartition(' ')[2]}; find out who published them, then discard this one"
    )
