"""Keeps the id of the topic that each stored offset belongs to.

A topic that was deleted and recreated under the same name has another id.
"""

from collections.abc import Iterable, Mapping

from sqlalchemy import Connection, text

from saga_monitor.storage.tables import stream_offset
from sagakit.messages.envelope import TopicPartitionKey
from sagakit.store.json_rows import recordset, rows_of

STORED_IDS = text(
    "SELECT topic, partition, topic_id FROM stream_offset WHERE topic_id IS NOT NULL ORDER BY 1, 2"
)
NOTE_MISSING = text(
    "UPDATE stream_offset SET topic_id = n.topic_id "
    f"FROM {recordset(stream_offset, ('topic', 'topic_id'))} "
    "WHERE stream_offset.topic = n.topic AND stream_offset.topic_id IS NULL"
)
NOTE = text(
    "UPDATE stream_offset SET topic_id = n.topic_id "
    f"FROM {recordset(stream_offset, ('topic', 'partition', 'topic_id'))} "
    "WHERE stream_offset.topic = n.topic AND stream_offset.partition = n.partition"
)


def recreated_partitions(connection: Connection, ids: Mapping[str, str]) -> list[TopicPartitionKey]:
    """Return the partitions whose stored offset belongs to a former topic of the same name.

    `ids`: topic -> its current id.
    """
    stored = connection.execute(STORED_IDS)
    return [(topic, p) for topic, p, id_ in stored if ids.get(topic, id_) != id_]


def note_missing_ids(connection: Connection, ids: Mapping[str, str]) -> None:
    """Store the current topic id with the offsets that have none yet."""
    rows = [{"topic": topic, "topic_id": id_} for topic, id_ in ids.items()]
    connection.execute(NOTE_MISSING, rows_of(rows))


def note_ids(
    connection: Connection, places: Iterable[TopicPartitionKey], ids: Mapping[str, str]
) -> None:
    """Store the current topic id with partitions that are read again from their first record."""
    rows = [{"topic": t, "partition": p, "topic_id": ids[t]} for t, p in places]
    connection.execute(NOTE, rows_of(rows))
