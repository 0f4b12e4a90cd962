"""Checks that a participant decides events of its own, and of the saga it handles. Pure."""

from typing import Any

from sagakit.errors import ForeignEvent


def check_own(participant: str, event: Any, key: str | None = None) -> None:
    """Raise ForeignEvent for an event of another owner, or of another saga than `key`."""
    if event.owner != participant:
        raise ForeignEvent(
            f"{participant} decided a {event.type}, which is an event of {event.owner}; decide "
            f"events whose schema names {participant} as the owner"
        )
    named = getattr(event, "order_id", key)
    if key is not None and named != key:
        raise ForeignEvent(
            f"{participant} decided a {event.type} for order {named!r} while it handles {key!r}; "
            "decide events for the order of the trigger"
        )
