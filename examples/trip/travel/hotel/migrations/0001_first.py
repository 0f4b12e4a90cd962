"""Create hotel's table."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "stay",
        sa.Column("saga", sa.Text, primary_key=True),
        sa.Column("phase", sa.Text, nullable=False),
        sa.Column("trip_id", sa.Text),
        sa.Column("trip", JSONB),
        sa.Column("wanted", JSONB),
        sa.Column("held", JSONB),
        sa.Column("hold_id", sa.Text),
        sa.Column("closed", sa.Boolean, nullable=False),
        sa.Column("taken", JSONB),
        sa.Column("reason", sa.Text, nullable=False),
    )
