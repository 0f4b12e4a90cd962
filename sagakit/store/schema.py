"""Defines the kit's own tables, the same in every participant's database.

`inbox` has one row per saga key (`sagakit.identity`): handled events (dedup), the count of its own
events, effects in flight. The row is the saga's lock. `outbox.key` is the record key. `outbox_sent`
keeps published rows, one partition per day, so that a topic that lost its tail can be republished;
old days are dropped as whole partitions.
`logged_ms` is the record's LogAppendTime, Unix ms; null if the broker gave none. `outbox_refused`
keeps rows that can never be published. `skipped_record` names records that are passed over
unread (`saga skip`).
"""

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    func,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID

KIT = MetaData()
_NOW = func.clock_timestamp()

inbox = Table(
    "inbox",
    KIT,
    Column("key", Text, primary_key=True),
    Column("flow", Text),
    Column("facts", Text),
    Column("seen", JSONB, nullable=False, server_default="{}"),
    Column("ids", ARRAY(Text), nullable=False, server_default="{}"),
    Column("sent", Integer, nullable=False, server_default="0"),
    Column("in_flight", ARRAY(Text), nullable=False, server_default="{}"),
    Column("marks", ARRAY(Text), nullable=False, server_default="{}"),
    Column("parked", Integer, nullable=False, server_default="0"),
    Column("gap", Text),
    Column("sent_by", UUID(as_uuid=True)),
    Column("version", BigInteger, nullable=False, server_default="0"),
    postgresql_with={"fillfactor": "70"},
)

outbox = Table(
    "outbox",
    KIT,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("topic", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("headers", Text, nullable=False),
    Column("value", LargeBinary, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=_NOW),
)

outbox_sent = Table(
    "outbox_sent",
    KIT,
    Column("id", BigInteger, nullable=False),
    Column("topic", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("headers", Text, nullable=False),
    Column("value", LargeBinary, nullable=False),
    Column("sent_at", DateTime(timezone=True), nullable=False, server_default=_NOW),
    Column("logged_ms", BigInteger),
    postgresql_partition_by="RANGE (sent_at)",
)

relay_epoch = Table(
    "relay_epoch",
    KIT,
    Column("one", SmallInteger, primary_key=True, server_default="1"),
    Column("epoch", BigInteger, nullable=False),
)

effects = Table(
    "effects",
    KIT,
    Column("id", UUID(as_uuid=True), primary_key=True),
    Column("saga", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("payload", JSONB, nullable=False),
    Column("trace", JSONB, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("deaths", Integer, nullable=False, server_default="0"),
    Column("due_at", DateTime(timezone=True), nullable=False),
    Column("token", UUID(as_uuid=True)),
    Column("lease_until", DateTime(timezone=True), nullable=False),
    Column("last_error", Text),
    Column("failing_since", DateTime(timezone=True)),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=_NOW),
    UniqueConstraint("saga", "key", name="effects_saga"),
)
Index("effects_due", effects.c.due_at)

parked = Table(
    "parked",
    KIT,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("key", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("error", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("seq", Integer),
    Column("topic", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("timestamp_ms", BigInteger, nullable=False),
    Column("record_key", LargeBinary),
    Column("value", LargeBinary),
    Column("headers", Text, nullable=False),
    Column("parked_at", DateTime(timezone=True), nullable=False, server_default=_NOW),
)
Index("parked_key", parked.c.key, parked.c.id)
Index("parked_record", parked.c.topic, parked.c.partition, parked.c.offset, unique=True)

# What people and services did that no event tells: a parked record discarded, sealed texts opened.
audit = Table(
    "audit",
    KIT,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False, server_default=_NOW),
    Column("action", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("reason", Text, nullable=False, server_default=""),
    Column("subjects", ARRAY(Text), nullable=False),
    Column("detail", JSONB, nullable=False, server_default="{}"),
)
Index("audit_at", audit.c.at)

early_webhook = Table(
    "early_webhook",
    KIT,
    Column("id", UUID(as_uuid=True), primary_key=True),
    Column("saga", Text, nullable=False),
    Column("first_at", DateTime(timezone=True), nullable=False, server_default=_NOW),
    Column("deliveries", Integer, nullable=False, server_default="1"),
)
Index("early_webhook_first_at", early_webhook.c.first_at)

attempt = Table(
    "attempt",
    KIT,
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("offset", BigInteger, nullable=False),
    Column("tries", Integer, nullable=False),
)

skipped_record = Table(
    "skipped_record",
    KIT,
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("offset", BigInteger, primary_key=True),
    Column("saga", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("skipped_at", DateTime(timezone=True), nullable=False, server_default=_NOW),
)

outbox_refused = Table(
    "outbox_refused",
    KIT,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("topic", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("headers", Text, nullable=False),
    Column("value", LargeBinary, nullable=False),
    Column("error", Text, nullable=False),
    Column("refused_at", DateTime(timezone=True), nullable=False, server_default=_NOW),
)
