"""Defines the outcome of an order and the progress of a trade. Plain values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from saga_lab.workload.orders import ShopOrder


@dataclass(frozen=True, slots=True)
class OrderOutcome:
    """Records an order's outcome.

    `end` is a status of the monitor, `refused`, or a text that names the error.
    `duration_s`: from the first event to the last step's, in log time.
    """

    order: ShopOrder
    end: str
    duration_s: float | None = None
    ended_at: datetime | None = None

    @property
    def as_expected(self) -> bool:
        """Return True when the order ended as its kind and entrance demand."""
        return self.end == self.order.end


@dataclass(slots=True)
class Progress:
    """Counts the orders of a trade. `ends`: the ended ones, by their end."""

    orders: int
    placed: int = 0
    ended: int = 0
    placing_s: float = 0.0
    ends: Mapping[str, int] = field(default_factory=dict)


def outcome_of(order: ShopOrder, seen: Mapping[str, Any]) -> OrderOutcome:
    """Build the outcome from the monitor's view of the order."""
    started, ended = seen["started_at"], seen["ended_at"]
    if not (started and ended):
        return OrderOutcome(order, seen["status"])
    began, over = datetime.fromisoformat(started), datetime.fromisoformat(ended)
    return OrderOutcome(order, seen["status"], (over - began).total_seconds(), over)
