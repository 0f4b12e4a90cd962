"""Defines events. Made by `python -m sagakit.contract.generate sagakit.contract`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class CompensationRequested:
    """The participants are asked to undo the saga, newest step first."""

    type: ClassVar[str] = "CompensationRequested"
    owner: ClassVar[str] = "saga"
    saga_id_field: ClassVar[str | None] = "saga_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ()
    saga_id: str
    step: str | None = None
    code: str
    reason: str
    actor: str
    attempt: int = 1

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "saga_id": self.saga_id,
            "step": self.step,
            "code": self.code,
            "reason": self.reason,
            "actor": self.actor,
            "attempt": self.attempt,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> CompensationRequested:
        """Build it from a record as fastavro reads it."""
        return cls(
            saga_id=record["saga_id"],
            step=record.get("step"),
            code=record["code"],
            reason=record["reason"],
            actor=record["actor"],
            attempt=record.get("attempt", 1),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class InterventionClaimed:
    """A person took over the intervention."""

    type: ClassVar[str] = "InterventionClaimed"
    owner: ClassVar[str] = "saga"
    saga_id_field: ClassVar[str | None] = "saga_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ()
    saga_id: str
    code: str
    actor: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "saga_id": self.saga_id,
            "code": self.code,
            "actor": self.actor,
            "reason": self.reason,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> InterventionClaimed:
        """Build it from a record as fastavro reads it."""
        return cls(
            saga_id=record["saga_id"],
            code=record["code"],
            actor=record["actor"],
            reason=record["reason"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class InterventionNoted:
    """A person added a note to the intervention."""

    type: ClassVar[str] = "InterventionNoted"
    owner: ClassVar[str] = "saga"
    saga_id_field: ClassVar[str | None] = "saga_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ()
    saga_id: str
    code: str
    actor: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "saga_id": self.saga_id,
            "code": self.code,
            "actor": self.actor,
            "reason": self.reason,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> InterventionNoted:
        """Build it from a record as fastavro reads it."""
        return cls(
            saga_id=record["saga_id"],
            code=record["code"],
            actor=record["actor"],
            reason=record["reason"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class InterventionOpened:
    """An intervention was opened: only a person can close it; retries continue meanwhile."""

    type: ClassVar[str] = "InterventionOpened"
    owner: ClassVar[str] = "saga"
    saga_id_field: ClassVar[str | None] = "saga_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ()
    saga_id: str
    code: str
    reason: str
    actor: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "saga_id": self.saga_id,
            "code": self.code,
            "reason": self.reason,
            "actor": self.actor,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> InterventionOpened:
        """Build it from a record as fastavro reads it."""
        return cls(
            saga_id=record["saga_id"],
            code=record["code"],
            reason=record["reason"],
            actor=record.get("actor"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class InterventionResolved:
    """A person closed the intervention."""

    type: ClassVar[str] = "InterventionResolved"
    owner: ClassVar[str] = "saga"
    saga_id_field: ClassVar[str | None] = "saga_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ()
    saga_id: str
    code: str
    actor: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "saga_id": self.saga_id,
            "code": self.code,
            "actor": self.actor,
            "reason": self.reason,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> InterventionResolved:
        """Build it from a record as fastavro reads it."""
        return cls(
            saga_id=record["saga_id"],
            code=record["code"],
            actor=record["actor"],
            reason=record["reason"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SagaPaused:
    """The saga is paused: no step starts until it is resumed; an undo continues."""

    type: ClassVar[str] = "SagaPaused"
    owner: ClassVar[str] = "saga"
    saga_id_field: ClassVar[str | None] = "saga_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ()
    saga_id: str
    actor: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "saga_id": self.saga_id,
            "actor": self.actor,
            "reason": self.reason,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> SagaPaused:
        """Build it from a record as fastavro reads it."""
        return cls(
            saga_id=record["saga_id"],
            actor=record["actor"],
            reason=record["reason"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SagaPinned:
    """A person pinned the saga: the monitor does not move it to its history."""

    type: ClassVar[str] = "SagaPinned"
    owner: ClassVar[str] = "saga"
    saga_id_field: ClassVar[str | None] = "saga_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ()
    saga_id: str
    actor: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "saga_id": self.saga_id,
            "actor": self.actor,
            "reason": self.reason,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> SagaPinned:
        """Build it from a record as fastavro reads it."""
        return cls(
            saga_id=record["saga_id"],
            actor=record["actor"],
            reason=record["reason"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SagaResumed:
    """The saga continues where it was paused."""

    type: ClassVar[str] = "SagaResumed"
    owner: ClassVar[str] = "saga"
    saga_id_field: ClassVar[str | None] = "saga_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ()
    saga_id: str
    actor: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "saga_id": self.saga_id,
            "actor": self.actor,
            "reason": self.reason,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> SagaResumed:
        """Build it from a record as fastavro reads it."""
        return cls(
            saga_id=record["saga_id"],
            actor=record["actor"],
            reason=record["reason"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SagaUnpinned:
    """The saga is no longer pinned and may be moved to the history."""

    type: ClassVar[str] = "SagaUnpinned"
    owner: ClassVar[str] = "saga"
    saga_id_field: ClassVar[str | None] = "saga_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ()
    saga_id: str
    actor: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "saga_id": self.saga_id,
            "actor": self.actor,
            "reason": self.reason,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> SagaUnpinned:
        """Build it from a record as fastavro reads it."""
        return cls(
            saga_id=record["saga_id"],
            actor=record["actor"],
            reason=record["reason"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictGiven:
    """A person decided on a step that waits for a person."""

    type: ClassVar[str] = "VerdictGiven"
    owner: ClassVar[str] = "saga"
    saga_id_field: ClassVar[str | None] = "saga_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ()
    saga_id: str
    step: str
    verdict: str
    actor: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "saga_id": self.saga_id,
            "step": self.step,
            "verdict": self.verdict,
            "actor": self.actor,
            "reason": self.reason,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> VerdictGiven:
        """Build it from a record as fastavro reads it."""
        return cls(
            saga_id=record["saga_id"],
            step=record["step"],
            verdict=record["verdict"],
            actor=record["actor"],
            reason=record["reason"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictRequested:
    """A person's decision is still missing: a reminder, or an escalation to the senior role."""

    type: ClassVar[str] = "VerdictRequested"
    owner: ClassVar[str] = "saga"
    saga_id_field: ClassVar[str | None] = "saga_id"
    void_when: ClassVar[str | None] = None
    pii: ClassVar[tuple[str, ...]] = ()
    saga_id: str
    step: str
    code: str
    role: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as fastavro writes it."""
        return {
            "saga_id": self.saga_id,
            "step": self.step,
            "code": self.code,
            "role": self.role,
            "reason": self.reason,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> VerdictRequested:
        """Build it from a record as fastavro reads it."""
        return cls(
            saga_id=record["saga_id"],
            step=record["step"],
            code=record["code"],
            role=record["role"],
            reason=record["reason"],
        )


EVENTS: tuple[type[Any], ...] = (
    CompensationRequested,
    InterventionClaimed,
    InterventionNoted,
    InterventionOpened,
    InterventionResolved,
    SagaPaused,
    SagaPinned,
    SagaResumed,
    SagaUnpinned,
    VerdictGiven,
    VerdictRequested,
)
