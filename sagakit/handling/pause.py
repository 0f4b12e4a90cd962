"""A paused order: what would carry it forward is held until it is resumed. Pure.

A held record counts as handled, so what comes behind it passes: answers to calls under way,
observations, and an undo, which lifts the pause where it arrives and leaves a mark: a pause that is
read after it, from another topic, holds nothing there. The record is kept among the parked ones
under the code `paused`, and decided on when the pause is over, as if it came then. `decide` never
knows.
"""

from collections.abc import Iterable, Mapping, Set

from sagakit.decider import Do, Trigger, Undo, Verdict
from sagakit.messages.envelope import Message
from sagakit.store.ports import PAUSED, Account

HELD, UNDONE = "held", "undone"
"""Marks of an order's account beside PAUSED: records of it are held; it was told to undo."""


def is_forward(triggers: Iterable[Trigger]) -> bool:
    """It would begin something new."""
    return any(isinstance(trigger, Do | Verdict) for trigger in triggers)


def joining(account: Account) -> frozenset[str]:
    """The marks that are routing's."""
    return frozenset(account.marks) - {PAUSED, HELD, UNDONE}


def marked(marks: Set[str], triggers: Iterable[Trigger], paused: bool | None) -> list[str]:
    """The marks after an event that has these triggers, and pauses the order (True), lets it go on
    (False), or neither."""
    if any(isinstance(trigger, Undo) for trigger in triggers):
        marks = marks | {UNDONE}
    if paused is not None:
        marks = marks | {PAUSED} if paused and UNDONE not in marks else marks - {PAUSED}
    return sorted(marks)


def freed(done: Iterable[Message], accounts: Mapping[str, Account]) -> set[str]:
    """Orders that after these messages are no longer paused, and yet have records held."""
    keys = {message.key for message in done}
    return {k for k in keys if HELD in accounts[k].marks and PAUSED not in accounts[k].marks}
