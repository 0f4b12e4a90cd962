"""Checks each event against the ledgers of the outside world when it is appended.

No event may claim what those ledgers do not say at that moment.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sagakit.messages.envelope import Envelope

if TYPE_CHECKING:
    from saga_lab.simulation.outside import Outside


class ClaimChecker:
    """Collects in `found` the claims that the ledgers did not support when they were made."""

    def __init__(self, outside: Outside) -> None:
        self.outside = outside
        self.found: list[str] = []
        self._seen: set[UUID] = set()
        self._taken: dict[str, int] = defaultdict(int)
        self._given: dict[str, int] = defaultdict(int)

    def __call__(self, envelope: Envelope) -> None:
        """Check an appended event; repeats of an id are ignored."""
        if envelope.id in self._seen:
            return
        self._seen.add(envelope.id)
        self.found += [
            f"{envelope.key}: {envelope.event.type}: {what}" for what in self._wrong(envelope)
        ]

    def _wrong(self, envelope: Envelope) -> Iterator[str]:
        key, event = envelope.key, envelope.event
        match envelope.source, event.type:
            case "payment", "PaymentCaptured":
                self._taken[key] += event.amount_minor
                taken = sum(c.amount_minor for c in self._taken_of(key))
                if self._taken[key] > taken:
                    yield f"{self._taken[key]} told as captured, the provider took {taken}"
            case "payment", "PaymentRefunded" | "PaymentRefundProgressed":
                self._given[key] += event.amount_minor
                given = sum(c.refunded_minor for c in self._charges(key))
                if self._given[key] > given:
                    yield f"{self._given[key]} told as refunded, the provider gave {given} back"
            case "order", "OrderCancelled" if not self._stubborn(key):
                kept_minor = sum(c.amount_minor - c.refunded_minor for c in self._taken_of(key))
                if kept_minor:
                    yield f"the provider holds {kept_minor}"
            case "shipping", "ShipmentCreated" if not self._labels(key):
                yield "the carrier has no label"
            case "shipping", "ShipmentPickedUp" if "picked_up" not in self._labels(key):
                yield "the carrier has no parcel"
            case "shipping", "ShipmentCancelled" if "created" in self._labels(key):
                yield "the carrier's label stands"

    def _stubborn(self, order_id: str) -> bool:
        """Return whether the provider may capture a charge after it was voided."""
        return self.outside.behaviours[order_id].charge == "late"

    def _taken_of(self, order_id: str) -> list[Any]:
        return [c for c in self._charges(order_id) if c.status == "captured"]

    def _charges(self, order_id: str) -> list[Any]:
        return [c for c in self.outside.charges.values() if c.order_id == order_id]

    def _labels(self, order_id: str) -> list[str]:
        return [x.status for x in self.outside.labels.values() if x.order_id == order_id]
