"""Create payment's tables."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "payment",
        sa.Column("saga", sa.Text, primary_key=True),
        sa.Column("phase", sa.Text, nullable=False),
        sa.Column("order_ref", sa.Text, nullable=False),
        sa.Column("facts", JSONB),
        sa.Column("email", sa.Text),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("charge_id", sa.Text),
        sa.Column("charges", JSONB, nullable=False),
        sa.Column("refunds", JSONB, nullable=False),
        sa.Column("failed", JSONB, nullable=False),
        sa.Column("disputes", JSONB, nullable=False),
        sa.Column("asked", JSONB),
    )
