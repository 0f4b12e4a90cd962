"""How far a replay is, and how it is told."""

import pytest

from saga_cli.progress import progress_line
from saga_monitor.replay.pipeline import FoldCounts
from saga_monitor.replay.target import Shadow, ShadowRefused
from saga_monitor.replay.workers import ReplayProgress, ReplayRequest


def progress(records: int, offsets: int, left: int, elapsed_s: float) -> ReplayProgress:
    step = FoldCounts(records=records, events=records, unreadable=0, bytes=0, offsets=offsets)
    return ReplayProgress(step, left, elapsed_s, memory_bytes=212_000_000)


def test_the_remaining_time_counts_offsets_also_those_of_markers() -> None:
    half = progress(records=4_000, offsets=5_000, left=15_000, elapsed_s=2.0)
    assert (half.rate, half.remaining_s) == (2_000.0, 6.0)


def test_before_the_first_record_the_remaining_time_is_not_known() -> None:
    assert progress(0, 0, 10, 3.0).remaining_s is None
    assert progress(0, 0, 0, 0.0).remaining_s == 0.0


def test_a_line_has_share_rate_remaining_time_and_memory() -> None:
    line = progress_line(progress(50_000, 50_000, 150_000, 10.0), planned=200_000)
    assert line == " 25.0%  5,000 records a second, 30.0 s left, 212 MB"


def test_a_resumed_replay_begins_at_the_share_it_had() -> None:
    line = progress_line(progress(0, 0, 50, 1.0), planned=200)
    assert line.startswith(" 75.0%")


def test_a_shadow_keeps_a_request_as_it_was_written() -> None:
    request = ReplayRequest("7d", "now", saga="o-1", topics=("a.events", "b.events"))
    assert request.written() == {
        "from": "7d",
        "to": "now",
        "saga": "o-1",
        "flow": None,
        "topics": "a.events,b.events",
        "archive": None,
    }


@pytest.mark.parametrize("name", ["live", "", "Big", "1st", "a-b", 'x"; DROP', "x" * 41])
def test_what_is_no_name_of_a_shadow_is_refused(name: str) -> None:
    with pytest.raises(ShadowRefused, match="no name of a shadow"):
        Shadow("postgresql://nowhere/db", name)
