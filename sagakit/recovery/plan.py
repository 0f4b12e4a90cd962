"""Says what a rebuild reads, and what the log no longer holds. Pure but for `plan_of`.

What a participant was asked before its own topic begins may have been answered by an event that
the log no longer holds. Nothing is decided for it: it might be carried out a second time.
"""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field

from sagakit.flow.routing import topic
from sagakit.kafka.inspector import LogEnds
from sagakit.kafka.log_spans import OffsetSpan, Spans, read_spans
from sagakit.messages.envelope import TopicPartitionKey

NEVER = 2**62
"""Later than any log time: the own topic has lost all its records."""
Offsets = Mapping[TopicPartitionKey, int]


@dataclass(frozen=True, slots=True)
class RebuildPlan:
    """Says what is read.

    own: spans of the participant's own topic; consumed: of the topics that it consumes. cut:
    partitions whose first records the log no longer holds. since_ms: partition of the own topic ->
    log time of the first record that is held, for those that are cut.
    """

    own: Spans
    consumed: Spans
    topic_ids: Mapping[str, str]
    cut: Sequence[TopicPartitionKey] = ()
    since_ms: Mapping[int, int] = field(default_factory=dict)

    @property
    def offsets(self) -> int:
        """Return the number of offsets in all spans."""
        return sum(span.offsets for spans in (self.own, self.consumed) for span in spans.values())


def plan_of(bootstrap_servers: str, participant: str, consumed: Sequence[str]) -> RebuildPlan:
    """Ask the brokers what the log holds of the own topic and of those in `consumed`.

    Raises KafkaException, and TimeoutError if nothing arrives.
    """
    log, own = LogEnds(bootstrap_servers), topic(participant)
    topics = sorted({own, *consumed})
    firsts, ends = log.firsts(topics), log.readable_ends(topics)
    spans = spans_of(firsts, ends)
    own_spans = {place: span for place, span in spans.items() if place[0] == own}
    cut = [place for place, first in sorted(firsts.items()) if first > 0]
    since_ms = {
        place[1]: _first_ms(bootstrap_servers, {place: own_spans[place]})
        for place in cut
        if place[0] == own
    }
    return RebuildPlan(
        own_spans,
        {place: span for place, span in spans.items() if place[0] in consumed},
        log.ids(topics),
        cut,
        since_ms,
    )


def spans_of(firsts: Offsets, ends: Offsets) -> Spans:
    """Return what the log holds of each partition, up to what readers see."""
    return {place: OffsetSpan(first, max(ends[place], first)) for place, first in firsts.items()}


def _first_ms(bootstrap_servers: str, spans: Spans) -> int:
    with closing(read_spans(bootstrap_servers, spans)) as batches:
        for batch in batches:
            for record in batch.records:
                return record.timestamp_ms
    return NEVER


def losses(plan: RebuildPlan, own_topic: str) -> list[str]:
    """Return in sentences what the log no longer holds, and what that means. Empty if nothing."""
    own = [place for place in plan.cut if place[0] == own_topic]
    others = sorted({place[0] for place in plan.cut} - {own_topic})
    found = []
    if own:
        found.append(
            f"{own_topic} no longer holds the first records of {len(own)} partitions: sagas that "
            "began before, and rows that sagas share, such as totals, are incomplete. What was "
            "asked before is not asked again, since it may have been answered"
        )
    if others:
        found.append(
            f"{', '.join(others)} no longer hold their first records: sagas whose start event is "
            "gone are not decided, and their next event is parked for a person"
        )
    return found
