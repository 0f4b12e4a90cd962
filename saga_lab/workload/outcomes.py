"""Defines the outcome of a saga and the progress of a run. Plain values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from saga_lab.workload.model import PlannedSaga


@dataclass(frozen=True, slots=True)
class SagaOutcome:
    """Records a saga's outcome.

    `end` is a status of the monitor, `refused`, or a text that names the error.
    `duration_s`: from the first event to the last step's, in log time.
    """

    saga: PlannedSaga
    end: str
    duration_s: float | None = None
    ended_at: datetime | None = None

    @property
    def as_expected(self) -> bool:
        """Return True when the saga ended as its kind and entrance demand."""
        return self.end == self.saga.end


@dataclass(slots=True)
class Progress:
    """Counts the sagas of a run. `ends`: the ended ones, by their end."""

    sagas: int
    placed: int = 0
    ended: int = 0
    placing_s: float = 0.0
    ends: Mapping[str, int] = field(default_factory=dict)


def outcome_of(saga: PlannedSaga, seen: Mapping[str, Any]) -> SagaOutcome:
    """Build the outcome from the monitor's view of the saga."""
    started, ended = seen["started_at"], seen["ended_at"]
    if not (started and ended):
        return SagaOutcome(saga, seen["status"])
    began, over = datetime.fromisoformat(started), datetime.fromisoformat(ended)
    return SagaOutcome(saga, seen["status"], (over - began).total_seconds(), over)
