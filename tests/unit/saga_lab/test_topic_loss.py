"""How a drill sees that a topic was compacted."""

from saga_lab.drills.topic_loss import has_gaps
from sagakit.messages.envelope import Record


def record(partition: int, offset: int) -> Record:
    return Record("a.events", partition, offset, 0, b"key", b"value")


def test_a_topic_that_begins_late_has_no_gap_and_one_that_goes_on_late_has() -> None:
    """Given partitions whose first records retention has removed; then only a missing offset
    between two records of one partition is a gap."""
    whole = [record(0, 7), record(1, 0), record(0, 8), record(1, 1)]
    assert not has_gaps([])
    assert not has_gaps(whole)
    assert has_gaps([*whole, record(0, 10)])
