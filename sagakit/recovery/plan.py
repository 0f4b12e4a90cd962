"""Says what a rebuild reads, and what the log no longer holds. Pure but for `plan_of`.

What a participant was asked before its own topic begins may have been answered by an event that
the log no longer holds. Nothing is decided for it: it might be carried out a second time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from sagakit.archive.log_archive import LogArchive, ReadSpans
from sagakit.flow.routing import topic
from sagakit.kafka.inspector import LogEnds
from sagakit.kafka.log_spans import Spans, spans_between, spans_until
from sagakit.messages.envelope import TopicPartitionKey

NEVER = 2**62
"""Later than any log time: the own topic has lost all its records."""


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

    def until(self, ends: Mapping[TopicPartitionKey, int]) -> "RebuildPlan":
        """Return the same plan, which reads no farther than these ends."""
        return replace(
            self, own=spans_until(self.own, ends), consumed=spans_until(self.consumed, ends)
        )


@dataclass(frozen=True, slots=True)
class WholeLog:
    """Knows the log: its ends, what reads it, and the archive of what the topics dropped, if any.

    `read` reads the archive too.
    """

    ends: LogEnds
    read: ReadSpans
    archive: LogArchive | None = None


def plan_of(log: WholeLog, participant: str, consumed: Sequence[str]) -> RebuildPlan:
    """Ask what the log holds of the own topic and of those in `consumed`.

    Raises ArchiveRefused, KafkaException, and TimeoutError if nothing arrives.
    """
    own = topic(participant)
    topics = sorted({own, *consumed})
    firsts = log.archive.firsts(log.ends, topics) if log.archive else log.ends.firsts(topics)
    ends = log.ends.readable_ends(topics)
    spans = spans_between(firsts, ends)
    own_spans = {place: span for place, span in spans.items() if place[0] == own}
    cut = [place for place, first in sorted(firsts.items()) if first > 0]
    since_ms = {
        place[1]: _first_ms(log.read, {place: own_spans[place]}) for place in cut if place[0] == own
    }
    return RebuildPlan(
        own_spans,
        {place: span for place, span in spans.items() if place[0] in consumed},
        log.ends.ids(topics),
        cut,
        since_ms,
    )


def _first_ms(read: ReadSpans, spans: Spans) -> int:
    for batch in read(spans):
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
