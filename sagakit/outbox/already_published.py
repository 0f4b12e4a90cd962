"""Finds outbox rows that Kafka already holds.

The relay died before it removed them, or the broker's ack was lost. Publishing them again would
duplicate them, and only the log-append time of the second copy would be kept (docs/decisions/0017).
"""

from collections.abc import Sequence
from contextlib import closing

from sagakit.kafka.client import KafkaException
from sagakit.kafka.inspector import read_log
from sagakit.messages.envelope import AppendTimes, OutboxRow, contiguous_rows
from sagakit.outbox.relay import BATCH, LogUnreadable

ANSWER_S = 5.0


def find_published(bootstrap_servers: str, rows: Sequence[OutboxRow]) -> AppendTimes:
    """Return the rows that Kafka holds byte for byte, with the first copy's log-append time.

    The search covers the last BATCH records of each partition, as many as a relay publishes at
    once. A row counts only if all earlier rows of its key are found too. The caller publishes the
    others, some of them perhaps a second time. Raises LogUnreadable if a broker does not answer for
    5 s.
    """
    wanted = {(r.topic, r.key.encode(), r.headers, r.value): r.id for r in rows}
    found: dict[int, int | None] = {}
    # Own records are in no transaction, but may lie behind an open one of somebody else.
    topics = sorted({r.topic for r in rows})
    tails = read_log(bootstrap_servers, topics, ANSWER_S, last=BATCH, uncommitted=True)
    try:
        with closing(tails):
            for r in tails:
                number = wanted.get((r.topic, r.key or b"", r.headers, r.value or b""))
                if number is not None:
                    found.setdefault(number, r.timestamp_ms)
    except (KafkaException, TimeoutError) as error:
        raise LogUnreadable(str(error)) from error
    return contiguous_rows(rows, found)
