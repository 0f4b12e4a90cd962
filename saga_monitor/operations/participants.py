"""Ask the participants what they say of themselves: health, gauges, and their audit."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

import httpx2
from pydantic import BaseModel, TypeAdapter, ValidationError

from sagakit.shared_secret import bearer_header
from sagakit.telemetry import metrics
from sagakit.urls import redacted

T = TypeVar("T")
ANSWER_S = 3.0
"""Timeout of a request to a participant."""
MAX_BYTES = 4 * 1024 * 1024
NOT_READY = 503
GAUGES = ("outbox", "outbox_age_s", "effects", "effects_retried", "parked", "outbox_refused")
"""The gauges of a participant's tables, without their prefix."""


class Readiness(BaseModel):
    """Is the answer of `/health/ready`. wrong: check -> problem."""

    status: str
    wrong: dict[str, str] = {}
    warnings: dict[str, str] = {}


class AuditRow(BaseModel):
    """Is a row of a participant's table `audit`."""

    id: int
    at: datetime
    action: str
    actor: str
    address: str
    reason: str
    subjects: list[str]
    detail: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answered(Generic[T]):
    """Holds what a participant answered, or why it did not."""

    value: T | None = None
    silent: str | None = None


@dataclass(frozen=True, slots=True)
class ServiceState:
    """Holds what a participant says of itself. gauges: name -> value."""

    ready: Answered[Readiness]
    gauges: Mapping[str, float] = field(default_factory=dict)


_AUDIT = TypeAdapter(list[AuditRow])


class ParticipantReader:
    """Asks participants, all at once. `participants`: name -> base URL; token: what it sends."""

    def __init__(self, participants: Mapping[str, str], token: str | None = None) -> None:
        self._urls = {name: url.rstrip("/") for name, url in participants.items()}
        self._client = httpx2.Client(
            timeout=ANSWER_S, trust_env=False, headers=bearer_header(token)
        )

    def states(self) -> dict[str, ServiceState]:
        """Return what each participant says of itself."""
        ready = self._each("/health/ready", Readiness.model_validate_json, NOT_READY)
        gauges = self._each("/metrics", _gauges)
        return {name: ServiceState(ready[name], gauges[name].value or {}) for name in self._urls}

    def audits(self, limit: int) -> dict[str, Answered[list[AuditRow]]]:
        """Return the newest rows of each participant's audit."""
        return self._each(f"/admin/audit?limit={limit}", _AUDIT.validate_json)

    def _each(
        self, path: str, read: Callable[[bytes], T], *accepted: int
    ) -> dict[str, Answered[T]]:
        with ThreadPoolExecutor(max(1, len(self._urls))) as threads:
            asked = {
                name: threads.submit(self._ask, url + path, read, accepted)
                for name, url in self._urls.items()
            }
        return {name: future.result() for name, future in asked.items()}

    def _ask(self, url: str, read: Callable[[bytes], T], accepted: tuple[int, ...]) -> Answered[T]:
        try:
            with self._client.stream("GET", url) as answer:
                if answer.status_code not in (200, *accepted):
                    return Answered(silent=f"it answers {answer.status_code}")
                body = b""
                for part in answer.iter_bytes():
                    body += part
                    if len(body) > MAX_BYTES:
                        return Answered(silent=f"its answer has more than {MAX_BYTES} bytes")
            return Answered(read(body))
        except httpx2.HTTPError as error:
            reason = f"{type(error).__name__}: {error}".rstrip(": ")
            return Answered(silent=redacted(reason))
        except (ValidationError, ValueError) as error:
            return Answered(silent=f"its answer has another form: {str(error)[:200]}")


def _gauges(body: bytes) -> dict[str, float]:
    """Return the known gauges of an exposition."""
    sums = metrics.sums_of(body.decode())
    return {name: sums[f"saga_{name}"] for name in GAUGES if f"saga_{name}" in sums}
