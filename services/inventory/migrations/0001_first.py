"""Create inventory's tables."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "reservation",
        sa.Column("saga", sa.Text, primary_key=True),
        sa.Column("phase", sa.Text, nullable=False),
        sa.Column("lines", JSONB, nullable=False),
        sa.Column("email", sa.Text),
    )
    op.create_table(
        "stock",
        sa.Column("sku", sa.Text, primary_key=True),
        sa.Column("on_hand", sa.BigInteger, sa.CheckConstraint("on_hand >= 0"), nullable=False),
        sa.Column("reserved", sa.BigInteger, sa.CheckConstraint("reserved >= 0"), nullable=False),
        sa.Column("shipped", sa.BigInteger, nullable=False),
        sa.Column("put_in", sa.BigInteger, nullable=False),
    )
