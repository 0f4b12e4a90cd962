"""Create the customers' keys; add `customer_id` and `in_clear` to orders."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("orders", sa.Column("customer_id", sa.Text, nullable=False, server_default=""))
    clear = sa.Column("in_clear", sa.Boolean, nullable=False, server_default=sa.false())
    op.add_column("orders", clear)
    op.create_index("ix_orders_customer_id", "orders", ["customer_id"])
    op.create_table(
        "customer_key",
        sa.Column("key_id", sa.Uuid, primary_key=True),
        sa.Column("customer_id", sa.Text, nullable=False),
        sa.Column("key", sa.LargeBinary),
        sa.Column("made_at", TIME, nullable=False),
        sa.Column("erased_at", TIME),
        sa.Column("actor", sa.Text),
        sa.Column("reason", sa.Text),
    )
    op.create_index("ix_customer_key_customer_id", "customer_key", ["customer_id"])
    op.create_index(
        "customer_key_current",
        "customer_key",
        ["customer_id"],
        unique=True,
        postgresql_where=sa.text("key IS NOT NULL"),
    )
