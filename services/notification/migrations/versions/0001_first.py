"""Create notification's first tables."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from sagakit.store.migrate import kit_tables

revision = "0001"
down_revision = None


def upgrade() -> None:
    kit_tables(op)
    op.create_table(
        "mailing",
        sa.Column("order_id", sa.Text, primary_key=True),
        sa.Column("sent", JSONB, nullable=False),
    )
