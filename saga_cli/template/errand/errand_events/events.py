"""Defines events. Made by `python -m sagakit.contract.generate errand_events`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrandFacts:
    """The customer of an errand and its task."""

    customer: str
    note: str
    minutes: int

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "customer": self.customer,
            "note": self.note,
            "minutes": self.minutes,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> ErrandFacts:
        """Build it from a record as fastavro reads it."""
        return cls(
            customer=record["customer"],
            note=record["note"],
            minutes=record["minutes"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrandAccepted:
    """A runner is set aside."""

    type: ClassVar[str] = "ErrandAccepted"
    owner: ClassVar[str] = "dispatch"
    saga_id_field: ClassVar[str | None] = "errand_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ("facts.customer",)
    errand_id: str
    facts: ErrandFacts
    runner: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "errand_id": self.errand_id,
            "facts": self.facts.to_dict(),
            "runner": self.runner,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> ErrandAccepted:
        """Build it from a record as fastavro reads it."""
        return cls(
            errand_id=record["errand_id"],
            facts=ErrandFacts.from_dict(record["facts"]),
            runner=record["runner"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrandCancelRequested:
    """The customer does not want it any more; too late once it is done."""

    type: ClassVar[str] = "ErrandCancelRequested"
    owner: ClassVar[str] = "errand"
    saga_id_field: ClassVar[str | None] = "errand_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ()
    errand_id: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "errand_id": self.errand_id,
            "reason": self.reason,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> ErrandCancelRequested:
        """Build it from a record as fastavro reads it."""
        return cls(
            errand_id=record["errand_id"],
            reason=record["reason"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrandDone:
    """The partner has done it."""

    type: ClassVar[str] = "ErrandDone"
    owner: ClassVar[str] = "courier"
    saga_id_field: ClassVar[str | None] = "errand_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ()
    errand_id: str
    receipt: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "errand_id": self.errand_id,
            "receipt": self.receipt,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> ErrandDone:
        """Build it from a record as fastavro reads it."""
        return cls(
            errand_id=record["errand_id"],
            receipt=record["receipt"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrandRefused:
    """The partner refuses it."""

    type: ClassVar[str] = "ErrandRefused"
    owner: ClassVar[str] = "courier"
    saga_id_field: ClassVar[str | None] = "errand_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ()
    errand_id: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "errand_id": self.errand_id,
            "reason": self.reason,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> ErrandRefused:
        """Build it from a record as fastavro reads it."""
        return cls(
            errand_id=record["errand_id"],
            reason=record["reason"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrandReleased:
    """No runner is set aside, and none will be."""

    type: ClassVar[str] = "ErrandReleased"
    owner: ClassVar[str] = "dispatch"
    saga_id_field: ClassVar[str | None] = "errand_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ()
    errand_id: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "errand_id": self.errand_id,
            "reason": self.reason,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> ErrandReleased:
        """Build it from a record as fastavro reads it."""
        return cls(
            errand_id=record["errand_id"],
            reason=record["reason"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrandRequested:
    """A customer asks for it: the start of the saga."""

    type: ClassVar[str] = "ErrandRequested"
    owner: ClassVar[str] = "errand"
    saga_id_field: ClassVar[str | None] = "errand_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ("facts.customer",)
    errand_id: str
    facts: ErrandFacts

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "errand_id": self.errand_id,
            "facts": self.facts.to_dict(),
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> ErrandRequested:
        """Build it from a record as fastavro reads it."""
        return cls(
            errand_id=record["errand_id"],
            facts=ErrandFacts.from_dict(record["facts"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrandStopped:
    """The partner was not asked, and will not be."""

    type: ClassVar[str] = "ErrandStopped"
    owner: ClassVar[str] = "courier"
    saga_id_field: ClassVar[str | None] = "errand_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ()
    errand_id: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "errand_id": self.errand_id,
            "reason": self.reason,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> ErrandStopped:
        """Build it from a record as fastavro reads it."""
        return cls(
            errand_id=record["errand_id"],
            reason=record["reason"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrandTurnedDown:
    """No runner can take it."""

    type: ClassVar[str] = "ErrandTurnedDown"
    owner: ClassVar[str] = "dispatch"
    saga_id_field: ClassVar[str | None] = "errand_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ()
    errand_id: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "errand_id": self.errand_id,
            "reason": self.reason,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> ErrandTurnedDown:
        """Build it from a record as fastavro reads it."""
        return cls(
            errand_id=record["errand_id"],
            reason=record["reason"],
        )


EVENTS: tuple[type[Any], ...] = (
    ErrandAccepted,
    ErrandCancelRequested,
    ErrandDone,
    ErrandRefused,
    ErrandReleased,
    ErrandRequested,
    ErrandStopped,
    ErrandTurnedDown,
)
