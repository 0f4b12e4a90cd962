"""Create itinerary's table."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "itinerary",
        sa.Column("saga", sa.Text, primary_key=True),
        sa.Column("trip", JSONB),
        sa.Column("stay", JSONB),
        sa.Column("cancelled", sa.Boolean, nullable=False),
        sa.Column("notified", JSONB, nullable=False),
    )
