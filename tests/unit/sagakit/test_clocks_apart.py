"""A process compares its clock with the brokers' by the stamps of what it publishes."""

from datetime import UTC, datetime, timedelta

import pytest

from sagakit.telemetry.metrics import clocks_apart

BEGAN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ENDED = BEGAN + timedelta(seconds=2)


@pytest.mark.parametrize(
    ("stamp_s", "ahead_s"),
    [(0, 0), (2, 0), (-4.9, 0), (6.9, 0), (-5, 5), (7, -5), (-3600, 3600), (3602, -3600)],
)
def test_a_stamp_outside_of_the_call_shows_how_far_the_clock_is_off_at_least(
    stamp_s: float, ahead_s: float
) -> None:
    stamp_ms = round((BEGAN.timestamp() + stamp_s) * 1000)
    assert clocks_apart(BEGAN, stamp_ms, ENDED) == timedelta(seconds=ahead_s)
