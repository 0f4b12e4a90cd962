"""Create the monitor's tables, those of ended sagas among them, and their indexes."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None

SAGA_KEY = sa.Text(collation="C")
TIME = sa.DateTime(timezone=True)
NEWEST = sa.text("updated_at DESC NULLS LAST")
HISTORY = {
    "saga": "saga",
    "balance": "saga, name, kind",
    "timeline": "saga, event_id, type",
    "intervention": "saga, code",
}
"""Table whose rows move to `<table>_history` -> its primary key."""


def upgrade() -> None:
    _create_sagas()
    _create_reading()
    _create_people()
    for table, key in HISTORY.items():
        op.execute(f"CREATE TABLE {table}_history (LIKE {table} INCLUDING DEFAULTS)")
        op.execute(f"ALTER TABLE {table}_history ADD PRIMARY KEY ({key})")
    _create_indexes()


def _create_sagas() -> None:
    op.create_table(
        "saga",
        sa.Column("saga", SAGA_KEY, primary_key=True),
        sa.Column("flow", sa.Text),
        sa.Column("version", sa.SmallInteger),
        sa.Column("status", sa.Text, nullable=False, server_default="unplaced"),
        sa.Column("facts", JSONB, nullable=False, server_default="{}"),
        sa.Column("awaited", sa.Text),
        sa.Column("next_deadline", TIME),
        sa.Column("quiet_until", TIME),
        sa.Column("started_at", TIME),
        sa.Column("ended_at", TIME),
        sa.Column("updated_at", TIME),
        sa.Column("partition", sa.Integer, nullable=False),
        sa.Column("pinned", sa.Boolean, nullable=False, server_default=sa.false()),
        postgresql_with={"fillfactor": "70"},
    )
    op.create_table(
        "balance",
        sa.Column("saga", SAGA_KEY, primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("added", sa.BigInteger, nullable=False),
        sa.Column("removed", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "timeline",
        sa.Column("saga", SAGA_KEY, primary_key=True),
        sa.Column("event_id", sa.Text, primary_key=True),
        sa.Column("type", sa.Text, primary_key=True),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("seq", sa.Integer),
        sa.Column("at", TIME, nullable=False),
        sa.Column("causation", sa.Text),
        sa.Column("partition", sa.Integer, nullable=False),
        sa.Column("offset", sa.BigInteger, nullable=False),
        sa.Column("detail", JSONB, nullable=False),
        sa.Column("read_at", TIME, nullable=False, server_default=sa.func.now()),
    )


def _create_reading() -> None:
    op.create_table(
        "stream_offset",
        sa.Column("topic", sa.Text, primary_key=True),
        sa.Column("partition", sa.Integer, primary_key=True),
        sa.Column("offset", sa.BigInteger, nullable=False),
        sa.Column("topic_id", sa.Text),
    )
    op.create_table(
        "monitor_unreadable",
        sa.Column("topic", sa.Text, primary_key=True),
        sa.Column("partition", sa.Integer, primary_key=True),
        sa.Column("offset", sa.BigInteger, primary_key=True),
        sa.Column("at", TIME, nullable=False),
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("saga", SAGA_KEY, nullable=False),
        sa.Column("record_key", sa.LargeBinary),
        sa.Column("value", sa.LargeBinary),
        sa.Column("headers", sa.Text, nullable=False),
    )


def _create_people() -> None:
    op.create_table(
        "intervention",
        sa.Column("saga", SAGA_KEY, primary_key=True),
        sa.Column("code", sa.Text, primary_key=True),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("holder", sa.Text),
        sa.Column("opened_at", TIME, nullable=False),
        sa.Column("closed_at", TIME),
        sa.Column("entries", sa.Integer, nullable=False),
    )
    op.create_table(
        "recorded_command",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("saga", SAGA_KEY, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("fields", JSONB, nullable=False),
        sa.Column("at", TIME, nullable=False),
    )


def _create_indexes() -> None:
    op.create_index(
        "saga_next_deadline",
        "saga",
        [sa.text("next_deadline NULLS FIRST")],
        postgresql_where=sa.text(
            "next_deadline IS NOT NULL OR status NOT IN ('completed', 'cancelled')"
        ),
    )
    op.create_index("saga_status", "saga", ["status", NEWEST])
    op.create_index(
        "saga_flow",
        "saga",
        ["status", "flow", "started_at"],
        postgresql_include=["version", "saga"],
    )
    op.create_index("saga_history_status", "saga_history", ["status", NEWEST])
    op.create_index("saga_history_started", "saga_history", ["flow", "started_at"])
    op.create_index("intervention_status", "intervention", ["status", "opened_at"])
    op.create_index("ix_recorded_command_at", "recorded_command", ["at"])
    for table in ("timeline", "timeline_history"):
        for name in ("batch_id", "caused_by"):
            field = sa.text(f"(detail ->> '{name}')")
            where = sa.text(f"(detail ->> '{name}') IS NOT NULL")
            op.create_index(f"{table}_{name}", table, [field], postgresql_where=where)
