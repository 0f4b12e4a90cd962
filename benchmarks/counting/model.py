"""Defines the counts of a contender's processes."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

TRANSACTIONS, STATEMENTS, ROUND_TRIPS = "transactions", "statements", "round trips"
KAFKA_REQUESTS = "Kafka requests"
WHATS = (TRANSACTIONS, STATEMENTS, ROUND_TRIPS, KAFKA_REQUESTS)


def _counters() -> dict[str, Counter[str]]:
    return defaultdict(Counter)


@dataclass
class Counts:
    """Counts per service, or per database that is no service's.

    `whats`: of WHATS; `texts`: how often each statement's text was executed; `requests`: Kafka
    requests by name.
    """

    whats: dict[str, Counter[str]] = field(default_factory=_counters)
    texts: dict[str, Counter[str]] = field(default_factory=_counters)
    requests: dict[str, Counter[str]] = field(default_factory=_counters)

    def snapshot(self) -> "Counts":
        """Return the counts of now: a proxy goes on counting in its thread."""
        whats, texts, requests = (
            {name: Counter(counter) for name, counter in list(counters.items())}
            for counters in (self.whats, self.texts, self.requests)
        )
        return Counts(whats, texts, requests)

    def clear(self) -> None:
        """Forget everything counted so far."""
        for counters in (self.whats, self.texts, self.requests):
            counters.clear()
