"""Create giftwrap's table and the kit's."""

import sqlalchemy as sa
from alembic import op

from sagakit.store.migrate import kit_tables

revision = "0001"
down_revision = None


def upgrade() -> None:
    kit_tables(op)
    op.create_table(
        "gift",
        sa.Column("order_id", sa.Text, primary_key=True),
        sa.Column("phase", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
    )
