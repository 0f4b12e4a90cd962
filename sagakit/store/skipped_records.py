"""Keeps which records a reader passes over unread: `saga skip` for one that ends each process.

Readers look at the start of a partition's reading, so a skip takes effect at the next start.
"""

from collections.abc import Callable

from sqlalchemy import Connection, Engine, text

from sagakit.messages.envelope import RecordPlace, SkippedRecords

SKIPPED = text('SELECT topic, partition, "offset", actor, reason FROM skipped_record')
SKIP = text("""
    INSERT INTO skipped_record (topic, partition, "offset", saga, actor, reason)
    VALUES (:topic, :partition, :offset, :saga, :actor, :reason)
    ON CONFLICT (topic, partition, "offset") DO NOTHING
""")


def skipped_records(connection: Connection) -> SkippedRecords:
    """Return the place of each record to pass over -> why."""
    return {
        (topic, partition, offset): f"skipped by {actor}: {reason}"
        for topic, partition, offset, actor, reason in connection.execute(SKIPPED)
    }


def skips_in(engine: Engine) -> Callable[[], SkippedRecords]:
    """Return a function that reads the places from a database."""

    def read() -> SkippedRecords:
        with engine.connect() as connection:
            return skipped_records(connection)

    return read


def skip_record(
    connection: Connection, place: RecordPlace, saga: str, actor: str, reason: str
) -> None:
    """Note a record to pass over; the first note of it stays.

    saga: key of the saga under which its case is opened.
    """
    topic, partition, offset = place
    values = {"topic": topic, "partition": partition, "offset": offset, "saga": saga}
    connection.execute(SKIP, {**values, "actor": actor, "reason": reason})
