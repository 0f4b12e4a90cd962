"""Defines events. Made by `python -m sagakit.contract.generate schemas`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderFacts:
    """The facts of an order that any step may need."""

    customer_id: str
    email: str
    currency: str
    total_minor: int
    lines: tuple[OrderLine, ...]
    card_token: str
    ship_to: str
    fraud_score: float = 0.0
    loyalty_card: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "customer_id": self.customer_id,
            "email": self.email,
            "currency": self.currency,
            "total_minor": self.total_minor,
            "lines": [x.to_dict() for x in self.lines],
            "card_token": self.card_token,
            "ship_to": self.ship_to,
            "fraud_score": self.fraud_score,
            "loyalty_card": self.loyalty_card,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> OrderFacts:
        """Build it from a record as fastavro reads it."""
        return cls(
            customer_id=record["customer_id"],
            email=record["email"],
            currency=record["currency"],
            total_minor=record["total_minor"],
            lines=tuple([OrderLine.from_dict(x) for x in record["lines"]]),
            card_token=record["card_token"],
            ship_to=record["ship_to"],
            fraud_score=record.get("fraud_score", 0.0),
            loyalty_card=record.get("loyalty_card"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderLine:
    """One line of an order."""

    sku: str
    quantity: int
    unit_price_minor: int

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "sku": self.sku,
            "quantity": self.quantity,
            "unit_price_minor": self.unit_price_minor,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> OrderLine:
        """Build it from a record as fastavro reads it."""
        return cls(
            sku=record["sku"],
            quantity=record["quantity"],
            unit_price_minor=record["unit_price_minor"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StockLine:
    """Units of one stock-keeping unit."""

    sku: str
    quantity: int

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "sku": self.sku,
            "quantity": self.quantity,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> StockLine:
        """Build it from a record as fastavro reads it."""
        return cls(
            sku=record["sku"],
            quantity=record["quantity"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CancellationMailSent:
    """The customer was told that the order is cancelled."""

    type: ClassVar[str] = "CancellationMailSent"
    owner: ClassVar[str] = "notification"
    saga_id_field: ClassVar[str | None] = "order_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ("to",)
    order_id: str
    to: str
    refused: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "order_id": self.order_id,
            "to": self.to,
            "refused": self.refused,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> CancellationMailSent:
        """Build it from a record as fastavro reads it."""
        return cls(
            order_id=record["order_id"],
            to=record["to"],
            refused=record.get("refused"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargeFound:
    """The provider's ledger shows more of a charge than payment's own books."""

    type: ClassVar[str] = "ChargeFound"
    owner: ClassVar[str] = "saga"
    saga_id_field: ClassVar[str | None] = "order_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ()
    order_id: str
    charge_id: str
    captured_minor: int
    refunded_minor: int
    currency: str
    actor: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "order_id": self.order_id,
            "charge_id": self.charge_id,
            "captured_minor": self.captured_minor,
            "refunded_minor": self.refunded_minor,
            "currency": self.currency,
            "actor": self.actor,
            "reason": self.reason,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> ChargeFound:
        """Build it from a record as fastavro reads it."""
        return cls(
            order_id=record["order_id"],
            charge_id=record["charge_id"],
            captured_minor=record["captured_minor"],
            refunded_minor=record["refunded_minor"],
            currency=record["currency"],
            actor=record["actor"],
            reason=record["reason"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmationMailSent:
    """The customer was told that the order is confirmed."""

    type: ClassVar[str] = "ConfirmationMailSent"
    owner: ClassVar[str] = "notification"
    saga_id_field: ClassVar[str | None] = "order_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ("to",)
    order_id: str
    to: str
    refused: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "order_id": self.order_id,
            "to": self.to,
            "refused": self.refused,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> ConfirmationMailSent:
        """Build it from a record as fastavro reads it."""
        return cls(
            order_id=record["order_id"],
            to=record["to"],
            refused=record.get("refused"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FraudCleared:
    """The screening found no fraud."""

    type: ClassVar[str] = "FraudCleared"
    owner: ClassVar[str] = "fraud"
    saga_id_field: ClassVar[str | None] = "order_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ("order.email", "order.ship_to")
    order_id: str
    order: OrderFacts

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "order_id": self.order_id,
            "order": self.order.to_dict(),
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> FraudCleared:
        """Build it from a record as fastavro reads it."""
        return cls(
            order_id=record["order_id"],
            order=OrderFacts.from_dict(record["order"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FraudRejected:
    """The order was rejected as fraud, or as invalid."""

    type: ClassVar[str] = "FraudRejected"
    owner: ClassVar[str] = "fraud"
    saga_id_field: ClassVar[str | None] = "order_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ("email",)
    order_id: str
    code: str
    reason: str
    email: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "order_id": self.order_id,
            "code": self.code,
            "reason": self.reason,
            "email": self.email,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> FraudRejected:
        """Build it from a record as fastavro reads it."""
        return cls(
            order_id=record["order_id"],
            code=record["code"],
            reason=record["reason"],
            email=record.get("email"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FraudWithdrawn:
    """The clearance is withdrawn; if the order was never screened, this is a fence."""

    type: ClassVar[str] = "FraudWithdrawn"
    owner: ClassVar[str] = "fraud"
    saga_id_field: ClassVar[str | None] = "order_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ("email",)
    order_id: str
    reason: str
    email: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "order_id": self.order_id,
            "reason": self.reason,
            "email": self.email,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> FraudWithdrawn:
        """Build it from a record as fastavro reads it."""
        return cls(
            order_id=record["order_id"],
            reason=record["reason"],
            email=record.get("email"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class InventoryRejected:
    """Nothing is reserved, because not every line could be."""

    type: ClassVar[str] = "InventoryRejected"
    owner: ClassVar[str] = "inventory"
    saga_id_field: ClassVar[str | None] = "order_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ("email",)
    order_id: str
    code: str
    reason: str
    skus: tuple[str, ...]
    email: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "order_id": self.order_id,
            "code": self.code,
            "reason": self.reason,
            "skus": list(self.skus),
            "email": self.email,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> InventoryRejected:
        """Build it from a record as fastavro reads it."""
        return cls(
            order_id=record["order_id"],
            code=record["code"],
            reason=record["reason"],
            skus=tuple(record["skus"]),
            email=record.get("email"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class InventoryReleased:
    """The reservation is released; without lines if nothing was reserved (a fence)."""

    type: ClassVar[str] = "InventoryReleased"
    owner: ClassVar[str] = "inventory"
    saga_id_field: ClassVar[str | None] = "order_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ("email",)
    order_id: str
    lines: tuple[StockLine, ...]
    reason: str
    email: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "order_id": self.order_id,
            "lines": [x.to_dict() for x in self.lines],
            "reason": self.reason,
            "email": self.email,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> InventoryReleased:
        """Build it from a record as fastavro reads it."""
        return cls(
            order_id=record["order_id"],
            lines=tuple([StockLine.from_dict(x) for x in record["lines"]]),
            reason=record["reason"],
            email=record.get("email"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class InventoryReserved:
    """All lines are reserved."""

    type: ClassVar[str] = "InventoryReserved"
    owner: ClassVar[str] = "inventory"
    saga_id_field: ClassVar[str | None] = "order_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ("order.email", "order.ship_to")
    order_id: str
    order: OrderFacts

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "order_id": self.order_id,
            "order": self.order.to_dict(),
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> InventoryReserved:
        """Build it from a record as fastavro reads it."""
        return cls(
            order_id=record["order_id"],
            order=OrderFacts.from_dict(record["order"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class InventoryShipped:
    """The reserved units have left with the carrier."""

    type: ClassVar[str] = "InventoryShipped"
    owner: ClassVar[str] = "inventory"
    saga_id_field: ClassVar[str | None] = "order_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ()
    order_id: str
    lines: tuple[StockLine, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "order_id": self.order_id,
            "lines": [x.to_dict() for x in self.lines],
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> InventoryShipped:
        """Build it from a record as fastavro reads it."""
        return cls(
            order_id=record["order_id"],
            lines=tuple([StockLine.from_dict(x) for x in record["lines"]]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderCancelRequested:
    """The customer or an operator requested a cancellation; it applies until the pivot."""

    type: ClassVar[str] = "OrderCancelRequested"
    owner: ClassVar[str] = "order"
    saga_id_field: ClassVar[str | None] = "order_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ()
    order_id: str
    actor: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "order_id": self.order_id,
            "actor": self.actor,
            "reason": self.reason,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> OrderCancelRequested:
        """Build it from a record as fastavro reads it."""
        return cls(
            order_id=record["order_id"],
            actor=record["actor"],
            reason=record["reason"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderCancelled:
    """The order is undone back to its first step."""

    type: ClassVar[str] = "OrderCancelled"
    owner: ClassVar[str] = "order"
    saga_id_field: ClassVar[str | None] = "order_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ()
    order_id: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "order_id": self.order_id,
            "reason": self.reason,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> OrderCancelled:
        """Build it from a record as fastavro reads it."""
        return cls(
            order_id=record["order_id"],
            reason=record["reason"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderCompleted:
    """Every step of the order is done."""

    type: ClassVar[str] = "OrderCompleted"
    owner: ClassVar[str] = "order"
    saga_id_field: ClassVar[str | None] = "order_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ()
    order_id: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "order_id": self.order_id,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> OrderCompleted:
        """Build it from a record as fastavro reads it."""
        return cls(
            order_id=record["order_id"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderPlaced:
    """An order was placed: the start of the flow."""

    type: ClassVar[str] = "OrderPlaced"
    owner: ClassVar[str] = "order"
    saga_id_field: ClassVar[str | None] = "order_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ("order.email", "order.ship_to")
    order_id: str
    order: OrderFacts
    placed_at: datetime
    batch_id: str | None = None
    caused_by: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "order_id": self.order_id,
            "order": self.order.to_dict(),
            "placed_at": self.placed_at,
            "batch_id": self.batch_id,
            "caused_by": self.caused_by,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> OrderPlaced:
        """Build it from a record as fastavro reads it."""
        return cls(
            order_id=record["order_id"],
            order=OrderFacts.from_dict(record["order"]),
            placed_at=record["placed_at"],
            batch_id=record.get("batch_id"),
            caused_by=record.get("caused_by"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRejected:
    """An order was refused, possibly a second one under a known id; it starts no saga."""

    type: ClassVar[str] = "OrderRejected"
    owner: ClassVar[str] = "order"
    saga_id_field: ClassVar[str | None] = "order_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ()
    order_id: str
    code: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "order_id": self.order_id,
            "code": self.code,
            "reason": self.reason,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> OrderRejected:
        """Build it from a record as fastavro reads it."""
        return cls(
            order_id=record["order_id"],
            code=record["code"],
            reason=record["reason"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentActionRequired:
    """The customer has to confirm the charge with their bank."""

    type: ClassVar[str] = "PaymentActionRequired"
    owner: ClassVar[str] = "payment"
    saga_id_field: ClassVar[str | None] = "order_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ("order.email", "order.ship_to")
    order_id: str
    order: OrderFacts
    charge_id: str
    action_url: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "order_id": self.order_id,
            "order": self.order.to_dict(),
            "charge_id": self.charge_id,
            "action_url": self.action_url,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> PaymentActionRequired:
        """Build it from a record as fastavro reads it."""
        return cls(
            order_id=record["order_id"],
            order=OrderFacts.from_dict(record["order"]),
            charge_id=record["charge_id"],
            action_url=record["action_url"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentCaptured:
    """The provider captured the charge."""

    type: ClassVar[str] = "PaymentCaptured"
    owner: ClassVar[str] = "payment"
    saga_id_field: ClassVar[str | None] = "order_id"
    void_when: ClassVar[str | None] = "late"
    pii: ClassVar[tuple[str, ...]] = ("order.email", "order.ship_to")
    order_id: str
    order: OrderFacts
    charge_id: str
    amount_minor: int
    currency: str
    late: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "order_id": self.order_id,
            "order": self.order.to_dict(),
            "charge_id": self.charge_id,
            "amount_minor": self.amount_minor,
            "currency": self.currency,
            "late": self.late,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> PaymentCaptured:
        """Build it from a record as fastavro reads it."""
        return cls(
            order_id=record["order_id"],
            order=OrderFacts.from_dict(record["order"]),
            charge_id=record["charge_id"],
            amount_minor=record["amount_minor"],
            currency=record["currency"],
            late=record.get("late", False),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentDeclined:
    """The payment was declined for good; no money was captured."""

    type: ClassVar[str] = "PaymentDeclined"
    owner: ClassVar[str] = "payment"
    saga_id_field: ClassVar[str | None] = "order_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ("email",)
    order_id: str
    code: str
    reason: str
    email: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "order_id": self.order_id,
            "code": self.code,
            "reason": self.reason,
            "email": self.email,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> PaymentDeclined:
        """Build it from a record as fastavro reads it."""
        return cls(
            order_id=record["order_id"],
            code=record["code"],
            reason=record["reason"],
            email=record.get("email"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentDisputeLost:
    """A dispute is decided for the customer, whose bank takes the money."""

    type: ClassVar[str] = "PaymentDisputeLost"
    owner: ClassVar[str] = "payment"
    saga_id_field: ClassVar[str | None] = "order_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ()
    order_id: str
    dispute_id: str
    charge_id: str
    amount_minor: int
    currency: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "order_id": self.order_id,
            "dispute_id": self.dispute_id,
            "charge_id": self.charge_id,
            "amount_minor": self.amount_minor,
            "currency": self.currency,
            "reason": self.reason,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> PaymentDisputeLost:
        """Build it from a record as fastavro reads it."""
        return cls(
            order_id=record["order_id"],
            dispute_id=record["dispute_id"],
            charge_id=record["charge_id"],
            amount_minor=record["amount_minor"],
            currency=record["currency"],
            reason=record["reason"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentDisputeOpened:
    """The customer's bank disputes a charge."""

    type: ClassVar[str] = "PaymentDisputeOpened"
    owner: ClassVar[str] = "payment"
    saga_id_field: ClassVar[str | None] = "order_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ()
    order_id: str
    dispute_id: str
    charge_id: str
    amount_minor: int
    currency: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "order_id": self.order_id,
            "dispute_id": self.dispute_id,
            "charge_id": self.charge_id,
            "amount_minor": self.amount_minor,
            "currency": self.currency,
            "reason": self.reason,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> PaymentDisputeOpened:
        """Build it from a record as fastavro reads it."""
        return cls(
            order_id=record["order_id"],
            dispute_id=record["dispute_id"],
            charge_id=record["charge_id"],
            amount_minor=record["amount_minor"],
            currency=record["currency"],
            reason=record["reason"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentDisputeWon:
    """A dispute is decided for the shop, which keeps the money."""

    type: ClassVar[str] = "PaymentDisputeWon"
    owner: ClassVar[str] = "payment"
    saga_id_field: ClassVar[str | None] = "order_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ()
    order_id: str
    dispute_id: str
    charge_id: str
    amount_minor: int
    currency: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "order_id": self.order_id,
            "dispute_id": self.dispute_id,
            "charge_id": self.charge_id,
            "amount_minor": self.amount_minor,
            "currency": self.currency,
            "reason": self.reason,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> PaymentDisputeWon:
        """Build it from a record as fastavro reads it."""
        return cls(
            order_id=record["order_id"],
            dispute_id=record["dispute_id"],
            charge_id=record["charge_id"],
            amount_minor=record["amount_minor"],
            currency=record["currency"],
            reason=record["reason"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentMismatched:
    """The provider captured something other than what was asked for; the order is not paid."""

    type: ClassVar[str] = "PaymentMismatched"
    owner: ClassVar[str] = "payment"
    saga_id_field: ClassVar[str | None] = "order_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ("order.email", "order.ship_to")
    order_id: str
    order: OrderFacts
    charge_id: str
    amount_minor: int
    currency: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "order_id": self.order_id,
            "order": self.order.to_dict(),
            "charge_id": self.charge_id,
            "amount_minor": self.amount_minor,
            "currency": self.currency,
            "reason": self.reason,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> PaymentMismatched:
        """Build it from a record as fastavro reads it."""
        return cls(
            order_id=record["order_id"],
            order=OrderFacts.from_dict(record["order"]),
            charge_id=record["charge_id"],
            amount_minor=record["amount_minor"],
            currency=record["currency"],
            reason=record["reason"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentPending:
    """The provider will report the result later, by webhook."""

    type: ClassVar[str] = "PaymentPending"
    owner: ClassVar[str] = "payment"
    saga_id_field: ClassVar[str | None] = "order_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ("order.email", "order.ship_to")
    order_id: str
    order: OrderFacts
    charge_id: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "order_id": self.order_id,
            "order": self.order.to_dict(),
            "charge_id": self.charge_id,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> PaymentPending:
        """Build it from a record as fastavro reads it."""
        return cls(
            order_id=record["order_id"],
            order=OrderFacts.from_dict(record["order"]),
            charge_id=record["charge_id"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentRefundFailed:
    """A refund did not reach the customer; the shop has its money again."""

    type: ClassVar[str] = "PaymentRefundFailed"
    owner: ClassVar[str] = "payment"
    saga_id_field: ClassVar[str | None] = "order_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ("email",)
    order_id: str
    refund_id: str
    charge_id: str | None = None
    amount_minor: int
    currency: str | None = None
    reason: str
    email: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "order_id": self.order_id,
            "refund_id": self.refund_id,
            "charge_id": self.charge_id,
            "amount_minor": self.amount_minor,
            "currency": self.currency,
            "reason": self.reason,
            "email": self.email,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> PaymentRefundFailed:
        """Build it from a record as fastavro reads it."""
        return cls(
            order_id=record["order_id"],
            refund_id=record["refund_id"],
            charge_id=record.get("charge_id"),
            amount_minor=record["amount_minor"],
            currency=record.get("currency"),
            reason=record["reason"],
            email=record.get("email"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentRefundProgressed:
    """Part of the money was refunded."""

    type: ClassVar[str] = "PaymentRefundProgressed"
    owner: ClassVar[str] = "payment"
    saga_id_field: ClassVar[str | None] = "order_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ()
    order_id: str
    refund_id: str
    amount_minor: int
    remaining_minor: int
    currency: str | None = None
    refused: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "order_id": self.order_id,
            "refund_id": self.refund_id,
            "amount_minor": self.amount_minor,
            "remaining_minor": self.remaining_minor,
            "currency": self.currency,
            "refused": self.refused,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> PaymentRefundProgressed:
        """Build it from a record as fastavro reads it."""
        return cls(
            order_id=record["order_id"],
            refund_id=record["refund_id"],
            amount_minor=record["amount_minor"],
            remaining_minor=record["remaining_minor"],
            currency=record.get("currency"),
            refused=record.get("refused"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentRefundStarted:
    """The payment is being undone: it waits for a refund or the result of a charge."""

    type: ClassVar[str] = "PaymentRefundStarted"
    owner: ClassVar[str] = "payment"
    saga_id_field: ClassVar[str | None] = "order_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ("email",)
    order_id: str
    charge_id: str | None = None
    amount_minor: int
    reason: str
    email: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "order_id": self.order_id,
            "charge_id": self.charge_id,
            "amount_minor": self.amount_minor,
            "reason": self.reason,
            "email": self.email,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> PaymentRefundStarted:
        """Build it from a record as fastavro reads it."""
        return cls(
            order_id=record["order_id"],
            charge_id=record.get("charge_id"),
            amount_minor=record["amount_minor"],
            reason=record["reason"],
            email=record.get("email"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentRefunded:
    """The payment is undone; amount 0 if nothing was captured (a fence)."""

    type: ClassVar[str] = "PaymentRefunded"
    owner: ClassVar[str] = "payment"
    saga_id_field: ClassVar[str | None] = "order_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ("email",)
    order_id: str
    refund_id: str | None = None
    amount_minor: int
    currency: str | None = None
    reason: str
    email: str | None = None
    refused: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "order_id": self.order_id,
            "refund_id": self.refund_id,
            "amount_minor": self.amount_minor,
            "currency": self.currency,
            "reason": self.reason,
            "email": self.email,
            "refused": self.refused,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> PaymentRefunded:
        """Build it from a record as fastavro reads it."""
        return cls(
            order_id=record["order_id"],
            refund_id=record.get("refund_id"),
            amount_minor=record["amount_minor"],
            currency=record.get("currency"),
            reason=record["reason"],
            email=record.get("email"),
            refused=record.get("refused"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentReportDoubted:
    """A report of a capture or refund is not what was asked for, or what its charge shows."""

    type: ClassVar[str] = "PaymentReportDoubted"
    owner: ClassVar[str] = "payment"
    saga_id_field: ClassVar[str | None] = "order_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ()
    order_id: str
    charge_id: str
    amount_minor: int
    currency: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "order_id": self.order_id,
            "charge_id": self.charge_id,
            "amount_minor": self.amount_minor,
            "currency": self.currency,
            "reason": self.reason,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> PaymentReportDoubted:
        """Build it from a record as fastavro reads it."""
        return cls(
            order_id=record["order_id"],
            charge_id=record["charge_id"],
            amount_minor=record["amount_minor"],
            currency=record["currency"],
            reason=record["reason"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentReviewRequired:
    """A person has to approve the charge before it is made."""

    type: ClassVar[str] = "PaymentReviewRequired"
    owner: ClassVar[str] = "payment"
    saga_id_field: ClassVar[str | None] = "order_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ("order.email", "order.ship_to")
    order_id: str
    order: OrderFacts
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "order_id": self.order_id,
            "order": self.order.to_dict(),
            "reason": self.reason,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> PaymentReviewRequired:
        """Build it from a record as fastavro reads it."""
        return cls(
            order_id=record["order_id"],
            order=OrderFacts.from_dict(record["order"]),
            reason=record["reason"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PointsGranted:
    """The points of the order were granted; 0 without a loyalty card."""

    type: ClassVar[str] = "PointsGranted"
    owner: ClassVar[str] = "loyalty"
    saga_id_field: ClassVar[str | None] = "order_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ()
    order_id: str
    loyalty_card: str | None = None
    points: int

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "order_id": self.order_id,
            "loyalty_card": self.loyalty_card,
            "points": self.points,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> PointsGranted:
        """Build it from a record as fastavro reads it."""
        return cls(
            order_id=record["order_id"],
            loyalty_card=record.get("loyalty_card"),
            points=record["points"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundCorrectionMailSent:
    """The customer was told that a refund did not arrive, or cannot be told."""

    type: ClassVar[str] = "RefundCorrectionMailSent"
    owner: ClassVar[str] = "notification"
    saga_id_field: ClassVar[str | None] = "order_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ("to",)
    order_id: str
    to: str
    refused: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "order_id": self.order_id,
            "to": self.to,
            "refused": self.refused,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> RefundCorrectionMailSent:
        """Build it from a record as fastavro reads it."""
        return cls(
            order_id=record["order_id"],
            to=record["to"],
            refused=record.get("refused"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundMailSent:
    """The customer was told about the refund."""

    type: ClassVar[str] = "RefundMailSent"
    owner: ClassVar[str] = "notification"
    saga_id_field: ClassVar[str | None] = "order_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ("to",)
    order_id: str
    to: str
    refused: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "order_id": self.order_id,
            "to": self.to,
            "refused": self.refused,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> RefundMailSent:
        """Build it from a record as fastavro reads it."""
        return cls(
            order_id=record["order_id"],
            to=record["to"],
            refused=record.get("refused"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ShipmentCancelRefused:
    """The parcel was already picked up: the shipment cannot be undone."""

    type: ClassVar[str] = "ShipmentCancelRefused"
    owner: ClassVar[str] = "shipping"
    saga_id_field: ClassVar[str | None] = "order_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ()
    order_id: str
    label_id: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "order_id": self.order_id,
            "label_id": self.label_id,
            "reason": self.reason,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> ShipmentCancelRefused:
        """Build it from a record as fastavro reads it."""
        return cls(
            order_id=record["order_id"],
            label_id=record["label_id"],
            reason=record["reason"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ShipmentCancelStarted:
    """The shipment is being undone: it waits for the carrier's answer."""

    type: ClassVar[str] = "ShipmentCancelStarted"
    owner: ClassVar[str] = "shipping"
    saga_id_field: ClassVar[str | None] = "order_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ("order.email", "order.ship_to")
    order_id: str
    label_id: str | None = None
    reason: str
    order: OrderFacts | None = None
    tracking: str | None = None
    parcels: int = 1

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "order_id": self.order_id,
            "label_id": self.label_id,
            "reason": self.reason,
            "order": None if self.order is None else self.order.to_dict(),
            "tracking": self.tracking,
            "parcels": self.parcels,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> ShipmentCancelStarted:
        """Build it from a record as fastavro reads it."""
        return cls(
            order_id=record["order_id"],
            label_id=record.get("label_id"),
            reason=record["reason"],
            order=None if record.get("order") is None else OrderFacts.from_dict(record["order"]),
            tracking=record.get("tracking"),
            parcels=record.get("parcels", 1),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ShipmentCancelled:
    """There is no shipment and there will be none."""

    type: ClassVar[str] = "ShipmentCancelled"
    owner: ClassVar[str] = "shipping"
    saga_id_field: ClassVar[str | None] = "order_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ()
    order_id: str
    label_id: str | None = None
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "order_id": self.order_id,
            "label_id": self.label_id,
            "reason": self.reason,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> ShipmentCancelled:
        """Build it from a record as fastavro reads it."""
        return cls(
            order_id=record["order_id"],
            label_id=record.get("label_id"),
            reason=record["reason"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ShipmentCreated:
    """The carrier created the label and will pick the parcel up."""

    type: ClassVar[str] = "ShipmentCreated"
    owner: ClassVar[str] = "shipping"
    saga_id_field: ClassVar[str | None] = "order_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ("order.email", "order.ship_to")
    order_id: str
    order: OrderFacts
    label_id: str
    tracking: str
    parcels: int = 1

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "order_id": self.order_id,
            "order": self.order.to_dict(),
            "label_id": self.label_id,
            "tracking": self.tracking,
            "parcels": self.parcels,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> ShipmentCreated:
        """Build it from a record as fastavro reads it."""
        return cls(
            order_id=record["order_id"],
            order=OrderFacts.from_dict(record["order"]),
            label_id=record["label_id"],
            tracking=record["tracking"],
            parcels=record.get("parcels", 1),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ShipmentFailed:
    """The carrier refuses the parcel; there is no label."""

    type: ClassVar[str] = "ShipmentFailed"
    owner: ClassVar[str] = "shipping"
    saga_id_field: ClassVar[str | None] = "order_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ()
    order_id: str
    code: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "order_id": self.order_id,
            "code": self.code,
            "reason": self.reason,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> ShipmentFailed:
        """Build it from a record as fastavro reads it."""
        return cls(
            order_id=record["order_id"],
            code=record["code"],
            reason=record["reason"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ShipmentPartlyPickedUp:
    """The carrier picked up a parcel of the shipment, but not all of them."""

    type: ClassVar[str] = "ShipmentPartlyPickedUp"
    owner: ClassVar[str] = "shipping"
    saga_id_field: ClassVar[str | None] = "order_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ("order.email", "order.ship_to")
    order_id: str
    order: OrderFacts
    label_id: str
    tracking: str
    parcels: int
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "order_id": self.order_id,
            "order": self.order.to_dict(),
            "label_id": self.label_id,
            "tracking": self.tracking,
            "parcels": self.parcels,
            "reason": self.reason,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> ShipmentPartlyPickedUp:
        """Build it from a record as fastavro reads it."""
        return cls(
            order_id=record["order_id"],
            order=OrderFacts.from_dict(record["order"]),
            label_id=record["label_id"],
            tracking=record["tracking"],
            parcels=record["parcels"],
            reason=record["reason"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ShipmentPickedUp:
    """The carrier picked the parcel up: the pivot, after which nothing is undone."""

    type: ClassVar[str] = "ShipmentPickedUp"
    owner: ClassVar[str] = "shipping"
    saga_id_field: ClassVar[str | None] = "order_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ("order.email", "order.ship_to")
    order_id: str
    order: OrderFacts
    label_id: str
    tracking: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "order_id": self.order_id,
            "order": self.order.to_dict(),
            "label_id": self.label_id,
            "tracking": self.tracking,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> ShipmentPickedUp:
        """Build it from a record as fastavro reads it."""
        return cls(
            order_id=record["order_id"],
            order=OrderFacts.from_dict(record["order"]),
            label_id=record["label_id"],
            tracking=record["tracking"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ShipmentReportDoubted:
    """A pickup was reported of a label that this shipment does not have."""

    type: ClassVar[str] = "ShipmentReportDoubted"
    owner: ClassVar[str] = "shipping"
    saga_id_field: ClassVar[str | None] = "order_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ()
    order_id: str
    label_id: str
    tracking: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "order_id": self.order_id,
            "label_id": self.label_id,
            "tracking": self.tracking,
            "reason": self.reason,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> ShipmentReportDoubted:
        """Build it from a record as fastavro reads it."""
        return cls(
            order_id=record["order_id"],
            label_id=record["label_id"],
            tracking=record["tracking"],
            reason=record["reason"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ShippedMailSent:
    """The customer was told that the parcel is on its way."""

    type: ClassVar[str] = "ShippedMailSent"
    owner: ClassVar[str] = "notification"
    saga_id_field: ClassVar[str | None] = "order_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ("to",)
    order_id: str
    to: str
    refused: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "order_id": self.order_id,
            "to": self.to,
            "refused": self.refused,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> ShippedMailSent:
        """Build it from a record as fastavro reads it."""
        return cls(
            order_id=record["order_id"],
            to=record["to"],
            refused=record.get("refused"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StockReceived:
    """Units were added to the stock; the record key is `sku:<sku>`."""

    type: ClassVar[str] = "StockReceived"
    owner: ClassVar[str] = "inventory"
    saga_id_field: ClassVar[str | None] = None
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ()
    sku: str
    quantity: int
    actor: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "sku": self.sku,
            "quantity": self.quantity,
            "actor": self.actor,
            "reason": self.reason,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> StockReceived:
        """Build it from a record as fastavro reads it."""
        return cls(
            sku=record["sku"],
            quantity=record["quantity"],
            actor=record["actor"],
            reason=record["reason"],
        )


EVENTS: tuple[type[Any], ...] = (
    CancellationMailSent,
    ChargeFound,
    ConfirmationMailSent,
    FraudCleared,
    FraudRejected,
    FraudWithdrawn,
    InventoryRejected,
    InventoryReleased,
    InventoryReserved,
    InventoryShipped,
    OrderCancelRequested,
    OrderCancelled,
    OrderCompleted,
    OrderPlaced,
    OrderRejected,
    PaymentActionRequired,
    PaymentCaptured,
    PaymentDeclined,
    PaymentDisputeLost,
    PaymentDisputeOpened,
    PaymentDisputeWon,
    PaymentMismatched,
    PaymentPending,
    PaymentRefundFailed,
    PaymentRefundProgressed,
    PaymentRefundStarted,
    PaymentRefunded,
    PaymentReportDoubted,
    PaymentReviewRequired,
    PointsGranted,
    RefundCorrectionMailSent,
    RefundMailSent,
    ShipmentCancelRefused,
    ShipmentCancelStarted,
    ShipmentCancelled,
    ShipmentCreated,
    ShipmentFailed,
    ShipmentPartlyPickedUp,
    ShipmentPickedUp,
    ShipmentReportDoubted,
    ShippedMailSent,
    StockReceived,
)
