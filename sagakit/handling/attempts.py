"""Counts starts at a record durably, before anything of the record is touched.

A record that kills the process is the first one read after the restart. So the first record of each
newly assigned partition is counted when it arrives, before its headers are looked at.
"""

import threading
from collections.abc import Collection, Sequence

from sqlalchemy import Engine, text

from sagakit.messages.envelope import Record, TopicPartitionKey
from sagakit.retry import retry_transaction

SINGLE_AFTER, PARK_AFTER = 4, 7
"""Limits on starts at the same offset without progress.

At the first, records are handled one by one. From there on a start counts only for the record
about to be handled, since another partition's record may be the one that kills the process. At the
second, the record is parked unread."""
KILLED = "the process stopped each time it handled this record"

MARK = text("""
    INSERT INTO attempt (topic, partition, "offset", tries) VALUES (:topic, :partition, :offset, 1)
    ON CONFLICT (topic, partition) DO UPDATE SET "offset" = excluded."offset", tries = CASE
        WHEN attempt."offset" <> excluded."offset" THEN 1
        ELSE greatest(attempt.tries, least(attempt.tries + 1, :most)) END
    RETURNING tries
""")


class Attempts:
    """Counts starts in the table `attempt`."""

    def __init__(self, engine: Engine, stop: threading.Event) -> None:
        self._engine = engine
        self._stop = stop
        self._newly_assigned: set[TopicPartitionKey] = set()
        self._arrived: set[TopicPartitionKey] = set()

    def assigned(self, partitions: Collection[TopicPartitionKey]) -> None:
        """Note partitions just assigned: the first record of each is counted as a start."""
        self._newly_assigned |= set(partitions)
        self._arrived -= set(partitions)

    def arrived(self, records: Sequence[Record]) -> int:
        """Count starts at the first records of newly assigned partitions; return the most of one.

        Zero if there are none.
        """
        most = 0
        if self._newly_assigned:
            for record in records:
                place = record.topic, record.partition
                if place in self._newly_assigned - self._arrived:
                    self._arrived.add(place)
                    most = max(most, self._count(record, SINGLE_AFTER))
        return most

    def may_handle(self, record: Record) -> bool:
        """Count a start at a record that is handled alone; return False if it is to be parked."""
        return self._count(record, PARK_AFTER) < PARK_AFTER

    def handled(self, records: Sequence[Record]) -> None:
        """Count no more starts at the partitions of these records."""
        if self._newly_assigned:
            places = {(r.topic, r.partition) for r in records}
            self._newly_assigned -= places
            self._arrived -= places

    def _count(self, r: Record, most: int) -> int:
        where = {"topic": r.topic, "partition": r.partition, "offset": r.offset, "most": most}

        def mark() -> int:
            with self._engine.begin() as connection:
                return int(connection.execute(MARK, where).scalar_one())

        return retry_transaction(mark, self._stop)
