"""What becomes of orders, and how far a trade is. Plain values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from saga_lab.workload.orders import ShopOrder


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an order: `end` is a status of the monitor, `refused`, or what went wrong.
    `duration_s`: from the first event to the last step's, in log time."""

    order: ShopOrder
    end: str
    duration_s: float | None = None
    ended_at: datetime | None = None

    @property
    def as_expected(self) -> bool:
        """It ended as its kind says."""
        return self.end == self.order.end


@dataclass(slots=True)
class Progress:
    """How far a trade is. `statuses`: orders by the monitor's status."""

    orders: int
    placed: int = 0
    ended: int = 0
    placing_s: float = 0.0
    statuses: Mapping[str, int] = field(default_factory=dict)


def outcome_of(order: ShopOrder, seen: Mapping[str, Any]) -> Outcome:
    """As the monitor sees it."""
    started, ended = seen["started_at"], seen["ended_at"]
    if not (started and ended):
        return Outcome(order, seen["status"])
    began, over = datetime.fromisoformat(started), datetime.fromisoformat(ended)
    return Outcome(order, seen["status"], (over - began).total_seconds(), over)
