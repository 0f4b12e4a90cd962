"""Add history tables for ended sagas, and the column `saga.pinned`."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

KEYS = {
    "saga": "order_id",
    "timeline": "order_id, event_id",
    "intervention": "order_id, code",
}


def upgrade() -> None:
    pinned = sa.Column("pinned", sa.Boolean, nullable=False, server_default=sa.false())
    op.add_column("saga", pinned)
    for table, key in KEYS.items():
        op.execute(f"CREATE TABLE {table}_history (LIKE {table} INCLUDING DEFAULTS)")
        op.execute(f"ALTER TABLE {table}_history ADD PRIMARY KEY ({key})")
    op.create_index("saga_history_updated_at", "saga_history", ["updated_at"])
