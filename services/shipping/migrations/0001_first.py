"""Create shipping's tables."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "shipment",
        sa.Column("saga", sa.Text, primary_key=True),
        sa.Column("phase", sa.Text, nullable=False),
        sa.Column("facts", JSONB),
        sa.Column("label_id", sa.Text),
        sa.Column("tracking", sa.Text),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("parcels", sa.Integer, nullable=False),
        sa.Column("picked", JSONB, nullable=False),
    )
