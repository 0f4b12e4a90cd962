"""Define the monitor's tables.

All but `recorded_command` can be rebuilt from the topics, and its events are in the topics as well.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    false,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID

from sagakit.store.rebuild import NOT_REBUILT

metadata = MetaData()

# Saga keys compare as bytes, so that PostgreSQL and Python take locks in the same order.
_SAGA_KEY = Text(collation="C")
_TIME = DateTime(timezone=True)

saga = Table(
    "saga",
    metadata,
    Column("saga", _SAGA_KEY, primary_key=True),
    Column("flow", Text),
    Column("version", SmallInteger),
    Column("status", Text, nullable=False, server_default="unplaced"),
    Column("facts", JSONB, nullable=False, server_default="{}"),
    Column("awaited", Text),
    Column("next_deadline", _TIME),
    Column("quiet_until", _TIME, info=NOT_REBUILT),
    Column("started_at", _TIME),
    Column("ended_at", _TIME),
    Column("updated_at", _TIME),
    Column("partition", Integer, nullable=False),
    Column("pinned", Boolean, nullable=False, server_default=false()),
    postgresql_with={"fillfactor": "70"},
)
# For overdue sagas, and for the list of sagas in flight, most overdue first.
Index(
    "saga_next_deadline",
    saga.c.next_deadline.nulls_first(),
    postgresql_where=text("next_deadline IS NOT NULL OR status NOT IN ('completed', 'cancelled')"),
)
# For lists by status, newest first, and for the archiver.
Index("saga_status", saga.c.status, saga.c.updated_at.desc().nulls_last())
# A covering index for all counts: the rows are large and are not read.
Index(
    "saga_flow",
    saga.c.status,
    saga.c.flow,
    saga.c.started_at,
    postgresql_include=["version", "saga"],
)

balance = Table(
    "balance",
    metadata,
    Column("saga", _SAGA_KEY, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("added", BigInteger, nullable=False),
    Column("removed", BigInteger, nullable=False),
)

timeline = Table(
    "timeline",
    metadata,
    Column("saga", _SAGA_KEY, primary_key=True),
    Column("event_id", Text, primary_key=True),
    Column("type", Text, primary_key=True),
    Column("source", Text, nullable=False),
    Column("seq", Integer),
    Column("at", _TIME, nullable=False),
    Column("causation", Text),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("detail", JSONB, nullable=False),
    # PostgreSQL sets it at the insert, so it costs no parameter: when the monitor read the event.
    Column("read_at", _TIME, nullable=False, server_default=func.now(), info=NOT_REBUILT),
)

stream_offset = Table(
    "stream_offset",
    metadata,
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("offset", BigInteger, nullable=False),
    Column("topic_id", Text, info=NOT_REBUILT),
)

# What could not be read of a record is told by the client that tried, each in its own words.
monitor_unreadable = Table(
    "monitor_unreadable",
    metadata,
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("offset", BigInteger, primary_key=True),
    Column("at", _TIME, nullable=False, info=NOT_REBUILT),
    Column("code", Text, nullable=False),
    Column("error", Text, nullable=False, info=NOT_REBUILT),
    Column("saga", _SAGA_KEY, nullable=False),
    Column("record_key", LargeBinary),
    Column("value", LargeBinary),
    Column("headers", Text, nullable=False, info=NOT_REBUILT),
)

intervention = Table(
    "intervention",
    metadata,
    Column("saga", _SAGA_KEY, primary_key=True),
    Column("code", Text, primary_key=True),
    Column("status", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("holder", Text),
    Column("opened_at", _TIME, nullable=False),
    Column("closed_at", _TIME),
    Column("entries", Integer, nullable=False),
)
Index("intervention_status", intervention.c.status, intervention.c.opened_at)

# Sagas that ended long ago, in unchanged rows. Counts and deadline checks skip these tables; one
# saga is looked up by its id.
HISTORY = {
    table: Table(f"{table.name}_history", metadata, *(c._copy() for c in table.columns))
    for table in (saga, balance, timeline, intervention)
}
Index(
    "saga_history_status",
    HISTORY[saga].c.status,
    HISTORY[saga].c.updated_at.desc().nulls_last(),
)

# For back-tests, in the order of the starts.
Index("saga_history_started", HISTORY[saga].c.flow, HISTORY[saga].c.started_at)

# Partial indexes for batches and caused sagas: few events name either.
for _table in (timeline, HISTORY[timeline]):
    for _name in ("batch_id", "caused_by"):
        _value = _table.c.detail[_name].astext
        Index(f"{_table.name}_{_name}", _value, postgresql_where=_value.is_not(None))

# Commands and timeout verdicts, recorded before their events are read back: a second person who
# acts learns of the first.
recorded_command = Table(
    "recorded_command",
    metadata,
    Column("id", UUID(as_uuid=True), primary_key=True),
    Column("saga", _SAGA_KEY, nullable=False),
    Column("type", Text, nullable=False),
    Column("fields", JSONB, nullable=False),
    Column("at", _TIME, nullable=False, index=True),
    info=NOT_REBUILT,
)


# People at browsers, and the links by which they log in once. Of what a browser sends, and of what
# stands in a link, only the hash is kept.
session = Table(
    "session",
    metadata,
    Column("id", UUID(as_uuid=True), primary_key=True, server_default=text("gen_random_uuid()")),
    Column("token_hash", Text, nullable=False, unique=True),
    Column("subject", Text, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("address", Text, nullable=False),
    Column("created_at", _TIME, nullable=False, server_default=func.now()),
    Column("expires_at", _TIME, nullable=False),
    info=NOT_REBUILT,
)
login_link = Table(
    "login_link",
    metadata,
    Column("code_hash", Text, primary_key=True),
    Column("subject", Text, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("expires_at", _TIME, nullable=False),
    info=NOT_REBUILT,
)

PROJECTED = tuple(table for table in metadata.sorted_tables if table.info != NOT_REBUILT)
"""The tables that the projection writes: all that the topics alone restore."""


def live_and_history(table: str, columns: str) -> str:
    """Return a subquery that reads these columns of live and history rows alike.

    One statement over both tables sees a saga once, also while it is being moved.
    """
    both = (f"SELECT {columns} FROM {name}" for name in (table, f"{table}_history"))
    return f"({' UNION ALL '.join(both)}) AS known"
