"""Checks a message against its saga's account: repeat, too early, or next in sequence. Pure."""

from collections.abc import Iterable, Mapping

from sagakit.errors import SequenceConflict, SequenceGap
from sagakit.messages.envelope import Message
from sagakit.store.ports import Account

MAX_IDS = 200
"""Number of ids without a sequence kept per saga (webhooks, people, outside publishers)."""


def is_repeat(message: Message, account: Account) -> bool:
    """Tell whether a message was handled before.

    Raises SequenceConflict if another event had the latest sequence number.
    """
    if message.seq is None:
        return message.lease is None and str(message.id) in account.ids
    last, last_id = account.seen.get(message.source, [0, ""])
    if message.seq == last and last_id != str(message.id):
        raise SequenceConflict(
            f"event {message.seq} of {message.source} was {last_id}, now it is {message.id}: "
            f"{message.source} lost part of its database; rebuild it from the topics, then redrive"
        )
    return bool(message.seq <= last)


def check_sequence(message: Message, account: Account) -> None:
    """Raise SequenceGap if events of the source before this one are missing."""
    if message.seq is None:
        return
    last = account.seen.get(message.source, [0, ""])[0]
    if message.seq > last + 1:
        raise SequenceGap(
            f"event {message.seq} of {message.source} came, {last + 1} is missing; "
            f"publish {message.source}'s events of this order again"
        )


def fills_gap(message: Message, account: Account) -> bool:
    """Tell whether this is the event that the account's parked queue waits for."""
    last = account.seen.get(message.source, [0, ""])[0]
    return account.gap == message.source and message.seq == last + 1


def sagas_with_filled_gap(done: Iterable[Message], accounts: Mapping[str, Account]) -> set[str]:
    """Return the sagas whose parked queue may go on after these messages."""
    return {m.key for m in done if m.seq is not None and m.source == accounts[m.key].gap}


def remember(message: Message, account: Account) -> None:
    """Record a message as handled, by its sequence number or its id.

    An effect result has a lease instead: removing its effect already excludes a repeat.
    """
    if message.seq is not None:
        account.seen[message.source] = [message.seq, str(message.id)]
    elif message.lease is None:
        account.ids = [*account.ids, str(message.id)][-MAX_IDS:]
