"""Create order's tables: orders, idempotency keys, the customers' keys."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "orders",
        sa.Column("saga", sa.Text, primary_key=True),
        sa.Column("phase", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("placed_at", TIME),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("cancel_reason", sa.Text, nullable=False),
        sa.Column("customer_id", sa.Text, nullable=False, server_default=""),
        sa.Column("in_clear", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("taken", sa.Boolean, nullable=False, server_default=sa.false()),
    )
    op.create_index("ix_orders_customer_id", "orders", ["customer_id"])
    op.create_table(
        "idempotency",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("claimed_at", TIME, nullable=False),
    )
    op.create_index("ix_idempotency_claimed_at", "idempotency", ["claimed_at"])
    op.create_table(
        "customer_key",
        sa.Column("key_id", sa.Uuid, primary_key=True),
        sa.Column("customer_id", sa.Text, nullable=False),
        sa.Column("key", sa.LargeBinary),
        sa.Column("made_at", TIME, nullable=False),
        sa.Column("erased_at", TIME),
        sa.Column("actor", sa.Text),
        sa.Column("reason", sa.Text),
        postgresql_with={"autovacuum_vacuum_scale_factor": "0", "autovacuum_vacuum_threshold": "0"},
    )
    op.create_index("ix_customer_key_customer_id", "customer_key", ["customer_id"])
    op.create_index(
        "customer_key_current",
        "customer_key",
        ["customer_id"],
        unique=True,
        postgresql_where=sa.text("key IS NOT NULL"),
    )
