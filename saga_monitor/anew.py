"""Of which log the stored offsets are: a topic that was deleted and made anew has another id."""

from collections.abc import Iterable, Mapping

from sqlalchemy import Connection, text

from saga_monitor.gate import Place

KNOWN = text(
    "SELECT topic, partition, topic_id FROM stream_offset WHERE topic_id IS NOT NULL ORDER BY 1, 2"
)
FIRST = text(
    "UPDATE stream_offset SET topic_id = :topic_id WHERE topic = :topic AND topic_id IS NULL"
)
NOTE = text(
    "UPDATE stream_offset SET topic_id = :topic_id WHERE topic = :topic AND partition = :partition"
)


def of_another_log(connection: Connection, ids: Mapping[str, str]) -> list[Place]:
    """Where the stored offset is not of the topic of that name. `ids`: topic -> its id now."""
    found = connection.execute(KNOWN)
    return [(topic, p) for topic, p, known in found if ids.get(topic, known) != known]


def first_seen(connection: Connection, ids: Mapping[str, str]) -> None:
    """Offsets of which it was not noted yet are of these topics."""
    for topic, topic_id in sorted(ids.items()):
        connection.execute(FIRST, {"topic": topic, "topic_id": topic_id})


def begun(connection: Connection, places: Iterable[Place], ids: Mapping[str, str]) -> None:
    """These are read from their first record, and their offsets are of the topics of now."""
    for topic, partition in sorted(places):
        note = {"topic": topic, "partition": partition, "topic_id": ids[topic]}
        connection.execute(NOTE, note)
