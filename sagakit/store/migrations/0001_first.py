"""Create the kit's tables: inbox, outbox, relay epoch, effects, records not handled, audit."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "0001"
down_revision = None

TIME = sa.DateTime(timezone=True)
NOW = sa.func.clock_timestamp()


def upgrade() -> None:
    _create_inbox_and_outbox()
    _create_effects()
    _create_parked()
    _create_early_webhooks()
    _create_audit()


def _create_inbox_and_outbox() -> None:
    op.create_table(
        "inbox",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("flow", sa.Text),
        sa.Column("facts", sa.Text),
        sa.Column("seen", JSONB, nullable=False, server_default="{}"),
        sa.Column("ids", ARRAY(sa.Text), nullable=False, server_default="{}"),
        sa.Column("sent", sa.Integer, nullable=False, server_default="0"),
        sa.Column("in_flight", ARRAY(sa.Text), nullable=False, server_default="{}"),
        sa.Column("marks", ARRAY(sa.Text), nullable=False, server_default="{}"),
        sa.Column("parked", sa.Integer, nullable=False, server_default="0"),
        sa.Column("gap", sa.Text),
        sa.Column("sent_by", sa.Uuid),
        sa.Column("version", sa.BigInteger, nullable=False, server_default="0"),
        postgresql_with={"fillfactor": "70"},
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("headers", sa.Text, nullable=False),
        sa.Column("value", sa.LargeBinary, nullable=False),
        sa.Column("created_at", TIME, nullable=False, server_default=NOW),
    )
    op.create_table(
        "outbox_sent",
        sa.Column("id", sa.BigInteger, nullable=False),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("headers", sa.Text, nullable=False),
        sa.Column("value", sa.LargeBinary, nullable=False),
        sa.Column("sent_at", TIME, nullable=False, server_default=NOW),
        sa.Column("logged_ms", sa.BigInteger),
        postgresql_partition_by="RANGE (sent_at)",
    )
    op.create_table(
        "outbox_refused",
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("headers", sa.Text, nullable=False),
        sa.Column("value", sa.LargeBinary, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("refused_at", TIME, nullable=False, server_default=NOW),
    )
    op.create_table(
        "relay_epoch",
        sa.Column("one", sa.SmallInteger, primary_key=True, server_default="1"),
        sa.Column("epoch", sa.BigInteger, nullable=False),
    )


def _create_effects() -> None:
    op.create_table(
        "effects",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("saga", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("payload", JSONB, nullable=False),
        sa.Column("trace", JSONB, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("deaths", sa.Integer, nullable=False, server_default="0"),
        sa.Column("due_at", TIME, nullable=False),
        sa.Column("token", sa.Uuid),
        sa.Column("lease_until", TIME, nullable=False),
        sa.Column("last_error", sa.Text),
        sa.Column("failing_since", TIME),
        sa.Column("created_at", TIME, nullable=False, server_default=NOW),
        sa.UniqueConstraint("saga", "key", name="effects_saga"),
    )
    op.create_index("effects_due", "effects", ["due_at"])


def _create_parked() -> None:
    op.create_table(
        "parked",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("seq", sa.Integer),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("partition", sa.Integer, nullable=False),
        sa.Column("offset", sa.BigInteger, nullable=False),
        sa.Column("timestamp_ms", sa.BigInteger, nullable=False),
        sa.Column("record_key", sa.LargeBinary),
        sa.Column("value", sa.LargeBinary),
        sa.Column("headers", sa.Text, nullable=False),
        sa.Column("parked_at", TIME, nullable=False, server_default=NOW),
    )
    op.create_index("parked_key", "parked", ["key", "id"])
    op.create_index("parked_record", "parked", ["topic", "partition", "offset"], unique=True)
    op.create_table(
        "attempt",
        sa.Column("topic", sa.Text, primary_key=True),
        sa.Column("partition", sa.Integer, primary_key=True),
        sa.Column("offset", sa.BigInteger, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
    )
    op.create_table(
        "skipped_record",
        sa.Column("topic", sa.Text, primary_key=True),
        sa.Column("partition", sa.Integer, primary_key=True),
        sa.Column("offset", sa.BigInteger, primary_key=True),
        sa.Column("saga", sa.Text, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("skipped_at", TIME, nullable=False, server_default=NOW),
    )


def _create_early_webhooks() -> None:
    op.create_table(
        "early_webhook",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("saga", sa.Text, nullable=False),
        sa.Column("first_at", TIME, nullable=False, server_default=NOW),
        sa.Column("deliveries", sa.Integer, nullable=False, server_default="1"),
    )
    op.create_index("early_webhook_first_at", "early_webhook", ["first_at"])


def _create_audit() -> None:
    op.create_table(
        "audit",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("at", TIME, nullable=False, server_default=NOW),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False, server_default=""),
        sa.Column("subjects", ARRAY(sa.Text), nullable=False),
        sa.Column("detail", JSONB, nullable=False, server_default="{}"),
    )
    op.create_index("audit_at", "audit", ["at"])
