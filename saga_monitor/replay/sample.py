"""Measures on some records of a plan what reading and folding all of them takes; writes nothing."""

import time
from dataclasses import dataclass

from saga_monitor.replay.pipeline import MonitorAccess
from saga_monitor.replay.source import ReplayPlan, in_batches, live_log
from sagakit.errors import RegistryUnavailable, UnprocessableRecord
from sagakit.kafka.log_spans import OffsetSpan
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


def sample(access: MonitorAccess, plan: ReplayPlan) -> Sample:
    """Read some records and decode them. Raises KafkaException and TimeoutError."""
    each = max(RECORDS // max(len(plan.spans), 1), 1)
    spans = {
        place: OffsetSpan(span.start, min(span.end, span.start + each))
        for place, span in plan.spans.items()
    }
    found: list[Record] = []
    for batch in in_batches(live_log(access.bootstrap_servers), spans):
        found += batch.records
    codec = access.codec()
    began_s = time.perf_counter()
    for record in found:
        try:
            codec.decode(record)
        except (UnprocessableRecord, RegistryUnavailable):
            continue
    took_s = time.perf_counter() - began_s
    size = sum(len(r.key or b"") + len(r.value or b"") for r in found)
    size += sum(len(name) + len(value) for r in found for name, value in r.headers)
    return Sample(len(found), size, FOLD_FACTOR * took_s / max(len(found), 1))
