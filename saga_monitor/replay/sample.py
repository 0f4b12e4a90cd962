"""Measures on some records of a plan what reading and folding all of them takes; writes nothing."""

import time
from dataclasses import dataclass

from saga_monitor.replay.pipeline import MonitorAccess
from saga_monitor.replay.source import ReplayPlan, in_batches
from sagakit.archive.log_archive import ReadSpans
from sagakit.errors import RegistryUnavailable, UnprocessableRecord
from sagakit.kafka.log_spans import OffsetSpan, Spans
from sagakit.messages.envelope import Record

RECORDS = 2000
"""About as many records are read, from the beginning of each span."""
FOLD_FACTOR = 5.0
"""How much longer folding and writing a record takes than decoding it."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Records that were read, their bytes, and the seconds that each would take."""

    records: int
    bytes: int
    seconds_each: float


def first_records(source: ReadSpans, spans: Spans) -> tuple[list[Record], int]:
    """Read some records of each span; return them and their bytes. Raises what the source does."""
    each = max(RECORDS // max(len(spans), 1), 1)
    begun = {
        place: OffsetSpan(span.start, min(span.end, span.start + each))
        for place, span in spans.items()
    }
    found = [record for batch in in_batches(source, begun) for record in batch.records]
    size = sum(len(r.key or b"") + len(r.value or b"") for r in found)
    size += sum(len(name) + len(value) for r in found for name, value in r.headers)
    return found, size


def sample(access: MonitorAccess, plan: ReplayPlan) -> Sample:
    """Read some records and decode them. Raises KafkaException and TimeoutError."""
    found, size = first_records(access.source(), plan.spans)
    codec = access.codec()
    began_s = time.perf_counter()
    for record in found:
        try:
            codec.decode(record)
        except (UnprocessableRecord, RegistryUnavailable):
            continue
    took_s = time.perf_counter() - began_s
    return Sample(len(found), size, FOLD_FACTOR * took_s / max(len(found), 1))
