"""Refuses a start on a database that is older than what was read for it: an old backup, or none.

The offsets of the consumer group are in Kafka, what was handled is in the database. Where the
database was restored, the group goes on behind what its rows stand for, and the service numbers its
events from an old count. So the last records before each committed offset are looked for in the
inbox, and the last own events in the count of own events: no statement more for an event.
"""

from collections.abc import Sequence
from typing import Any

import structlog
from sqlalchemy import Engine, text

from sagakit.errors import ConfigurationError, RecordsGone
from sagakit.flow.routing import topic
from sagakit.handling.parking import decode_message
from sagakit.kafka.client import KafkaException
from sagakit.kafka.inspector import LogEnds, is_away, read_until
from sagakit.kafka.log_spans import Offsets, read_spans, spans_between
from sagakit.messages.codec import Codec
from sagakit.messages.envelope import Record
from sagakit.retry import retry_transaction
from sagakit.stop_signal import StopSignal
from sagakit.store.json_rows import as_json

log = structlog.get_logger(__name__)
LAST = 20
"""So many offsets are looked at in each partition: before the committed one, or at the end."""
LOOK_AGAIN_S = 1.0
SILENCE_S = 30.0
UNKNOWN = text("""
    SELECT n.topic, n."partition", n."offset", n.own
    FROM json_to_recordset(CAST(:rows AS json)) AS n
        (key text, source text, seq integer, own boolean, topic text, "partition" integer,
         "offset" bigint)
    LEFT JOIN inbox ON inbox.key = n.key
    WHERE n.seq > coalesce(
        CASE WHEN n.own THEN inbox.sent ELSE CAST(inbox.seen -> n.source ->> 0 AS integer) END, 0)
    AND NOT EXISTS (SELECT FROM parked AS p WHERE
        (p.topic, p."partition", p."offset") = (n.topic, n."partition", n."offset"))
    AND NOT EXISTS (SELECT FROM skipped_record AS s WHERE
        (s.topic, s."partition", s."offset") = (n.topic, n."partition", n."offset"))
    AND NOT EXISTS (
        SELECT FROM audit WHERE action = 'discard' AND n.key = ANY(subjects))
    ORDER BY n.own, n.topic, n."partition", n."offset"
""")
"""Records that have to be known and are not. What was parked, skipped or discarded is no loss."""


class BackupGuard:
    """Compares a participant's rows with what its group has read and what it has published.

    topics: those that it consumes.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        participant: str,
        topics: Sequence[str],
        codec: Codec,
        engine: Engine,
    ) -> None:
        self._servers, self._name, self._topics = bootstrap_servers, participant, topics
        self._codec, self._engine = codec, engine
        self._done = False

    def refuse(self, stop: StopSignal) -> None:
        """Raise ConfigurationError if the rows are older than the offsets.

        If no broker answers it is left to `refuse_before_reading`.
        """
        try:
            self._refuse(stop)
        except (KafkaException, TimeoutError) as error:
            log.warning("rows and offsets cannot be compared yet", error=str(error))

    def refuse_before_reading(self, stop: StopSignal) -> None:
        """Do as `refuse` unless it has; wait for brokers that are away. Raises ConfigurationError.

        What the brokers forbid is not waited for: the consumer says it.
        """
        while not self._done:
            try:
                self._refuse(stop)
            except (KafkaException, TimeoutError) as error:
                if not is_away(error):
                    log.warning("rows and offsets are not compared", error=str(error))
                    return
                if stop.wait(LOOK_AGAIN_S):
                    return

    def _refuse(self, stop: StopSignal) -> None:
        log_ends, own_topic = LogEnds(self._servers), topic(self._name)
        ids = log_ends.ids(sorted({*self._topics, own_topic}))
        ends = log_ends.readable_ends(list(ids)) if ids else {}
        firsts = log_ends.firsts(list(ids)) if ids else {}
        consumed = {place: end for place, end in ends.items() if place[0] in self._topics}
        until = read_until(self._servers, self._name, consumed, ids) if consumed else {}
        own = {place: end for place, end in ends.items() if place[0] == own_topic}
        read, published = self._last(firsts, until), self._last(firsts, own)
        rows = retry_transaction(
            lambda: [*self._rows(read, own=False), *self._rows(published, own=True)], stop
        )
        if rows and (unknown := retry_transaction(lambda: self._unknown(rows), stop)):
            raise ConfigurationError(self._refusal(unknown))
        self._done = True

    def _last(self, firsts: Offsets, until: Offsets) -> list[Record]:
        spans = spans_between(firsts, until, LAST)
        found: list[Record] = []
        try:
            for batch in read_spans(self._servers, spans, SILENCE_S):
                found += batch.records
        except RecordsGone as error:  # retention was at work meanwhile, or an end is another log's
            log.warning("rows and offsets are not all compared", error=str(error))
        return found

    def _rows(self, records: Sequence[Record], *, own: bool) -> list[dict[str, Any]]:
        """Return what the inbox has to know: numbered events of their topic's owner."""
        rows = []
        for record in (r for r in records if not self._codec.is_foreign(r)):
            message = decode_message(self._codec, record)
            if message.event is None or message.seq is None:
                continue
            if message.source == message.event.owner and (not own or message.source == self._name):
                rows.append(
                    {
                        "key": message.key,
                        "source": message.source,
                        "seq": message.seq,
                        "own": own,
                        "topic": record.topic,
                        "partition": record.partition,
                        "offset": record.offset,
                    }
                )
        return rows

    def _unknown(self, rows: list[dict[str, Any]]) -> Sequence[Any]:
        with self._engine.connect() as connection:
            return connection.execute(UNKNOWN, {"rows": as_json(rows)}).all()

    def _refusal(self, unknown: Sequence[Any]) -> str:
        name, partition, offset, own = unknown[0]
        what = "was published by it" if own else "was read for it"
        return (
            f"the database of {self._name} is older than the topics: it does not know "
            f"{name}/{partition} at offset {offset}, which {what}, nor {len(unknown) - 1} more of "
            "the last records. Was it restored from a backup, or is it another one? Nothing was "
            f"read or published. Give `saga rebuild {self._name} --into DATABASE --from-backup` on "
            "it, or rebuild into an empty one without --from-backup "
            "(docs/runbooks/rebuild-a-database.md), then start again"
        )
