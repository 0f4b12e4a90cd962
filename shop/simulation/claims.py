"""Judges what an event claims by the ledgers of the outside world."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

from sagakit.messages.envelope import Envelope
from shop.outside.carrier_machine import LabelRecord
from shop.outside.provider_machine import ChargeRecord, RefundRecord


class Claims:
    """Finds claims that the ledgers do not support at the moment they are made.

    charges, refunds, labels: return the rows of the ledgers; `stubborn`: whether the provider may
    capture an order's charge after it was voided, let its refund fail, or refuse it.
    """

    def __init__(
        self,
        charges: Callable[[], Iterable[ChargeRecord]],
        refunds: Callable[[], Iterable[RefundRecord]],
        labels: Callable[[], Iterable[LabelRecord]],
        stubborn: Callable[[str], bool],
    ) -> None:
        self._all_charges, self._all_refunds = charges, refunds
        self._all_labels, self._stubborn = labels, stubborn
        self._given: dict[str, int] = defaultdict(int)

    def false_in(self, envelope: Envelope) -> Iterator[str]:
        """Yield the claims of a new event that are false."""
        key, event = envelope.key, envelope.event
        match envelope.source, event.type:
            case "payment", "PaymentCaptured" | "PaymentMismatched":
                known = self._taken_of(key)
                named = [c for c in known if c.id == event.charge_id] or known
                taken = sum(c.captured_minor for c in named)
                if event.amount_minor > taken:
                    yield f"{event.amount_minor} told as captured, the provider took {taken}"
            case "payment", "PaymentRefunded" | "PaymentRefundProgressed":
                self._given[key] += event.amount_minor
                given = sum(r.amount_minor for r in self._all_refunds() if r.saga == key)
                if self._given[key] > given:
                    yield f"{self._given[key]} told as refunded, the provider gave {given} back"
            case "order", "OrderCancelled" if not self._stubborn(key):
                kept_minor = sum(c.held_minor for c in self._taken_of(key))
                if kept_minor:
                    yield f"the provider holds {kept_minor}"
            case "shipping", "ShipmentCreated" if not self._labels(key):
                yield "the carrier has no label"
            case "shipping", "ShipmentPickedUp" if "picked_up" not in self._labels(key):
                yield "the carrier has a parcel that is not picked up"
            case "shipping", "ShipmentCancelled" if "created" in self._labels(key):
                yield "the carrier's label stands"

    def _taken_of(self, saga: str) -> list[ChargeRecord]:
        return [c for c in self._charges(saga) if c.status == "captured"]

    def _charges(self, saga: str) -> list[ChargeRecord]:
        return [c for c in self._all_charges() if c.saga == saga]

    def _labels(self, saga: str) -> list[str]:
        return [x.status for x in self._all_labels() if x.saga == saga]
