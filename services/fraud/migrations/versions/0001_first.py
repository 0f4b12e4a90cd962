"""Create fraud's first table."""

import sqlalchemy as sa
from alembic import op

from sagakit.store.migrate import kit_tables

revision = "0001"
down_revision = None


def upgrade() -> None:
    kit_tables(op)
    op.create_table(
        "screening",
        sa.Column("order_id", sa.Text, primary_key=True),
        sa.Column("phase", sa.Text, nullable=False),
        sa.Column("email", sa.Text),
    )
