"""Create flight's table."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "ticket",
        sa.Column("saga", sa.Text, primary_key=True),
        sa.Column("phase", sa.Text, nullable=False),
        sa.Column("ticket", JSONB),
        sa.Column("reason", sa.Text, nullable=False),
    )
