"""Create the monitor's first tables."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from sagakit.store.migrate import kit_tables

revision = "0001"
down_revision = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    kit_tables(op)
    op.create_table(
        "saga",
        sa.Column("order_id", sa.Text(collation="C"), primary_key=True),
        sa.Column("flow", sa.Text),
        sa.Column("version", sa.SmallInteger),
        sa.Column("status", sa.Text, nullable=False, server_default="unplaced"),
        sa.Column("facts", JSONB, nullable=False, server_default="{}"),
        sa.Column("awaited", sa.Text),
        sa.Column("next_deadline", TIME),
        sa.Column("quiet_until", TIME),
        sa.Column("captured_minor", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("refunded_minor", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("started_at", TIME),
        sa.Column("ended_at", TIME),
        sa.Column("updated_at", TIME),
        sa.Column("partition", sa.Integer, nullable=False),
        postgresql_with={"fillfactor": "70"},
    )
    op.create_index(
        "saga_next_deadline",
        "saga",
        ["next_deadline"],
        postgresql_where=sa.text("next_deadline IS NOT NULL"),
    )
    op.create_index("saga_status", "saga", ["status", "updated_at"])
    op.create_table(
        "timeline",
        sa.Column("order_id", sa.Text(collation="C"), primary_key=True),
        sa.Column("event_id", sa.Text, primary_key=True),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("seq", sa.Integer),
        sa.Column("at", TIME, nullable=False),
        sa.Column("causation", sa.Text),
        sa.Column("partition", sa.Integer, nullable=False),
        sa.Column("offset", sa.BigInteger, nullable=False),
        sa.Column("detail", JSONB, nullable=False),
    )
    op.create_table(
        "stream_offset",
        sa.Column("topic", sa.Text, primary_key=True),
        sa.Column("partition", sa.Integer, primary_key=True),
        sa.Column("offset", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "monitor_unreadable",
        sa.Column("topic", sa.Text, primary_key=True),
        sa.Column("partition", sa.Integer, primary_key=True),
        sa.Column("offset", sa.BigInteger, primary_key=True),
        sa.Column("at", TIME, nullable=False),
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("record_key", sa.LargeBinary),
        sa.Column("value", sa.LargeBinary),
        sa.Column("headers", sa.Text, nullable=False),
    )
