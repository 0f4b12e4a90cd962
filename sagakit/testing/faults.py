"""Checks that a crash at any point leaves no trace in a participant: redelivery mends it."""

from collections.abc import Callable, Sequence
from typing import Any

from sagakit.faults import Crash, CrashAt, Faults
from sagakit.testing.in_memory import InMemoryService

Make = Callable[[Faults], InMemoryService[Any]]
Deliver = Callable[[InMemoryService[Any]], object]
CRASH_POINTS = ("after-inbox", "before-commit", "after-commit", "after-call")
"""Crash points that an in-memory service passes."""


def check_crash_points(
    make: Make, deliver: Deliver, points: Sequence[str] = CRASH_POINTS
) -> dict[str, int]:
    """Crash at every point and deliver everything again: the result is that of a run without one.

    make: builds the service with the faults it is given. deliver: hands it its events and performs
    its effects; it is called again after the crash, as Kafka and the effect worker would.
    Compared are state, pending effects and the events to be published.

    Returns: how often each point was passed, and so crashed at.

    Raises:
        AssertionError: it names the point.
    """
    passed = dict.fromkeys(points, 0)

    def count(point: str) -> None:
        if point in passed:
            passed[point] += 1

    undisturbed = make(count)
    deliver(undisturbed)
    for point, times in passed.items():
        for nth in range(1, times + 1):
            service = make(CrashAt(point, nth))
            try:
                deliver(service)
            except Crash:
                deliver(service)
            assert _result(service) == _result(undisturbed), f"differs after crash {nth} at {point}"
    return passed


def _result(service: InMemoryService[Any]) -> tuple[Any, ...]:
    return service.state, service.pending, service.published
