"""What waits in an outbox and stands in the log already: published by a relay that was killed
before it could say so, or taken by a broker whose answer was lost. Published again it would stand
there twice, and only its second time would be kept (docs/adr/0017)."""

from collections.abc import Sequence
from contextlib import closing

from sagakit.kafka.client import KafkaException
from sagakit.kafka.inspector import read_log
from sagakit.messages.envelope import Logged, OutboxRow, without_gaps
from sagakit.outbox.relay import BATCH, CannotTell

ANSWER_S = 5.0


def standing(bootstrap_servers: str, rows: Sequence[OutboxRow]) -> Logged:
    """Those of the rows that the log holds, word for word, and when the broker took the first.

    Looked for are as many records as a relay publishes at once, at the end of each partition. What
    is not found is to be published: again, it may be. Raises CannotTell where a broker does not
    answer for 5 s.
    """
    wanted = {(r.topic, r.key.encode(), r.headers, r.value): r.id for r in rows}
    found: dict[int, int | None] = {}
    tails = read_log(bootstrap_servers, sorted({r.topic for r in rows}), ANSWER_S, last=BATCH)
    try:
        with closing(tails):
            for r in tails:
                number = wanted.get((r.topic, r.key or b"", r.headers, r.value or b""))
                if number is not None:
                    found.setdefault(number, r.timestamp_ms)
    except (KafkaException, TimeoutError) as error:
        raise CannotTell(str(error)) from error
    return without_gaps(rows, found)
