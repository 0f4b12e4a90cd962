"""Create loyalty's first table."""

import sqlalchemy as sa
from alembic import op

from sagakit.store.migrate import kit_tables

revision = "0001"
down_revision = None


def upgrade() -> None:
    kit_tables(op)
    op.create_table(
        "points",
        sa.Column("order_id", sa.Text, primary_key=True),
        sa.Column("phase", sa.Text, nullable=False),
        sa.Column("loyalty_card", sa.Text, index=True),
        sa.Column("points", sa.BigInteger, nullable=False),
    )
