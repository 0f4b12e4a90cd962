"""Has each event checked by the outside world when it is appended."""

from uuid import UUID

from saga_lab.simulation.outside import Outside
from sagakit.messages.envelope import Envelope


class ClaimChecker:
    """Collects in `found` the claims that the outside did not support when they were made."""

    def __init__(self, outside: Outside) -> None:
        self.outside = outside
        self.found: list[str] = []
        self._seen: set[UUID] = set()

    def __call__(self, envelope: Envelope) -> None:
        """Check an appended event; repeats of an id are ignored."""
        if envelope.id in self._seen:
            return
        self._seen.add(envelope.id)
        self.found += [
            f"{envelope.key}: {envelope.event.type}: {what}"
            for what in self.outside.false_claims(envelope)
        ]
