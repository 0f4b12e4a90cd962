"""Of which log the stored offsets are: a topic that was deleted and made anew has another id."""

from collections.abc import Iterable, Mapping

from sqlalchemy import Connection, text

from saga_monitor.storage.tables import stream_offset
from sagakit.messages.envelope import Place
from sagakit.store.state_table import recordset, rows_of

KNOWN = text(
    "SELECT topic, partition, topic_id FROM stream_offset WHERE topic_id IS NOT NULL ORDER BY 1, 2"
)
FIRST = text(
    "UPDATE stream_offset SET topic_id = n.topic_id "
    f"FROM {recordset(stream_offset, ('topic', 'topic_id'))} "
    "WHERE stream_offset.topic = n.topic AND stream_offset.topic_id IS NULL"
)
NOTE = text(
    "UPDATE stream_offset SET topic_id = n.topic_id "
    f"FROM {recordset(stream_offset, ('topic', 'partition', 'topic_id'))} "
    "WHERE stream_offset.topic = n.topic AND stream_offset.partition = n.partition"
)


def of_another_log(connection: Connection, ids: Mapping[str, str]) -> list[Place]:
    """Where the stored offset is not of the topic of that name. `ids`: topic -> its id now."""
    found = connection.execute(KNOWN)
    return [(topic, p) for topic, p, known in found if ids.get(topic, known) != known]


def first_seen(connection: Connection, ids: Mapping[str, str]) -> None:
    """Offsets of which it was not noted yet are of these topics."""
    rows = [{"topic": topic, "topic_id": id_} for topic, id_ in ids.items()]
    connection.execute(FIRST, rows_of(rows))


def begun(connection: Connection, places: Iterable[Place], ids: Mapping[str, str]) -> None:
    """These are read from their first record, and their offsets are of the topics of now."""
    rows = [{"topic": t, "partition": p, "topic_id": ids[t]} for t, p in places]
    connection.execute(NOTE, rows_of(rows))
