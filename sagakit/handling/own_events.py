"""Checks that a participant decides events of its own, and of the saga it handles. Pure."""

from typing import Any

from sagakit.contract.model import saga_id_of
from sagakit.errors import ForeignEvent
from sagakit.identity import split_key


def check_own(participant: str, event: Any, key: str | None = None) -> None:
    """Raise ForeignEvent for an event of another owner, or of another saga than that of `key`."""
    if event.owner != participant:
        raise ForeignEvent(
            f"{participant} decided a {event.type}, which is an event of {event.owner}; decide "
            f"events whose schema names {participant} as the owner"
        )
    if key is None or event.saga_id_field is None:
        return
    if (named := saga_id_of(event)) != split_key(key)[1]:
        raise ForeignEvent(
            f"{participant} decided a {event.type} for saga {named!r} while it handles {key!r}; "
            "decide events for the saga of the trigger"
        )
