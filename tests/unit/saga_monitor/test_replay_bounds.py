"""From where to where the log is replayed, as a person writes it."""

from datetime import UTC, datetime, timedelta

import pytest

from saga_monitor.replay.bounds import (
    AtOffsets,
    AtTime,
    Bound,
    Earliest,
    LogState,
    Now,
    parse_bound,
    spans_of,
)
from sagakit.kafka.log_spans import OffsetSpan

NOW = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)
MORNING = datetime(2026, 11, 27, 8, 30, tzinfo=UTC)
A0, A1 = ("a.events", 0), ("a.events", 1)
LOG = LogState({A0: 10, A1: 0}, {A0: 50, A1: 30}, {MORNING: {A0: 20}, NOW: {}})


@pytest.mark.parametrize(
    ("written", "bound"),
    [
        ("earliest", Earliest()),
        ("now", Now()),
        ("7d", AtTime(NOW - timedelta(days=7))),
        ("90s", AtTime(NOW - timedelta(seconds=90))),
        ("2026-11-27T08:30:00Z", AtTime(MORNING)),
        ("2026-11-27T10:30:00+02:00", AtTime(MORNING)),
        ("2026-11-27 08:30", AtTime(MORNING)),
        ("1500", AtOffsets(every=1500)),
        ("a.events/0@12, a.events/1@3", AtOffsets(places={A0: 12, A1: 3})),
    ],
)
def test_a_bound_is_read(written: str, bound: Bound) -> None:
    assert parse_bound(written, NOW) == bound


@pytest.mark.parametrize(
    "written", ["", "yesterday", "7 days", "-1", "12:30", "a.events@5", "a/0@-1", "1e9", "9999999d"]
)
def test_what_is_no_bound_is_refused_with_what_to_write(written: str) -> None:
    with pytest.raises(ValueError, match="write"):
        parse_bound(written, NOW)


@pytest.mark.parametrize(
    ("begin", "end", "spans"),
    [
        (Earliest(), Now(), {A0: OffsetSpan(10, 50), A1: OffsetSpan(0, 30)}),
        # no record of the second partition is that late: nothing of it is read
        (AtTime(MORNING), Now(), {A0: OffsetSpan(20, 50), A1: OffsetSpan(30, 30)}),
        (Earliest(), AtTime(MORNING), {A0: OffsetSpan(10, 20), A1: OffsetSpan(0, 30)}),
        (AtOffsets(every=25), Now(), {A0: OffsetSpan(25, 50), A1: OffsetSpan(25, 30)}),
        # retention has removed what lies before the first offset
        (
            AtOffsets(every=5),
            AtOffsets(every=1000),
            {A0: OffsetSpan(10, 50), A1: OffsetSpan(5, 30)},
        ),
        (Earliest(), AtOffsets(places={A0: 11}), {A0: OffsetSpan(10, 11), A1: OffsetSpan(0, 30)}),
        (AtOffsets(places={A1: 29}), Now(), {A0: OffsetSpan(10, 50), A1: OffsetSpan(29, 30)}),
        (
            AtOffsets(every=40),
            AtOffsets(every=20),
            {A0: OffsetSpan(40, 40), A1: OffsetSpan(30, 30)},
        ),
    ],
)
def test_a_span_lies_within_what_the_log_holds(
    begin: Bound, end: Bound, spans: dict[tuple[str, int], OffsetSpan]
) -> None:
    assert spans_of(begin, end, LOG) == spans


def test_an_end_before_the_beginning_is_refused() -> None:
    with pytest.raises(ValueError, match="before the beginning"):
        spans_of(AtTime(NOW), AtTime(MORNING), LOG)


def test_a_partition_that_is_not_read_is_refused() -> None:
    with pytest.raises(ValueError, match="is not among the partitions"):
        spans_of(Earliest(), AtOffsets(places={("z.events", 0): 1}), LOG)
