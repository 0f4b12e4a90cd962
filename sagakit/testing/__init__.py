"""Helps the author of a participant to test it: decisions, its matrix, its gateway, crashes.

Imported by tests only, the kit's and applications'. It needs no test framework: a check that fails
raises AssertionError, which says what differs.
"""

from sagakit.store.memory import MemoryStore
from sagakit.testing.faults import check_crash_points
from sagakit.testing.gateways import check_failure_is_unknown, check_idempotent
from sagakit.testing.http import InMemoryHttp
from sagakit.testing.in_memory import InMemoryService
from sagakit.testing.matrix import Arrival, DecisionMatrix, Past, emits, row_of
from sagakit.testing.scenario import NOW, Given, Then, given, round_trip

__all__ = [
    "NOW",
    "Arrival",
    "DecisionMatrix",
    "Given",
    "InMemoryHttp",
    "InMemoryService",
    "MemoryStore",
    "Past",
    "Then",
    "check_crash_points",
    "check_failure_is_unknown",
    "check_idempotent",
    "emits",
    "given",
    "round_trip",
    "row_of",
]
