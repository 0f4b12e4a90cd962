"""Judges what an event claims by the ledgers of the outside world."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

from sagakit.messages.envelope import Envelope
from shop.outside.carrier_machine import LabelRecord
from shop.outside.provider_machine import ChargeRecord


class Claims:
    """Finds claims that the ledgers do not support at the moment they are made.

    charges, labels: return the rows of the ledgers; `stubborn`: whether the provider may capture an
    order's charge after it was voided.
    """

    def __init__(
        self,
        charges: Callable[[], Iterable[ChargeRecord]],
        labels: Callable[[], Iterable[LabelRecord]],
        stubborn: Callable[[str], bool],
    ) -> None:
        self._all_charges, self._all_labels, self._stubborn = charges, labels, stubborn
        self._taken: dict[str, int] = defaultdict(int)
        self._given: dict[str, int] = defaultdict(int)

    def false_in(self, envelope: Envelope) -> Iterator[str]:
        """Yield the claims of a new event that are false."""
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

    def _taken_of(self, saga: str) -> list[ChargeRecord]:
        return [c for c in self._charges(saga) if c.status == "captured"]

    def _charges(self, saga: str) -> list[ChargeRecord]:
        return [c for c in self._all_charges() if c.saga == saga]

    def _labels(self, saga: str) -> list[str]:
        return [x.status for x in self._all_labels() if x.saga == saga]
