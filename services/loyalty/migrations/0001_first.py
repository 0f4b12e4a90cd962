"""Create loyalty's table."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "points",
        sa.Column("saga", sa.Text, primary_key=True),
        sa.Column("phase", sa.Text, nullable=False),
        sa.Column("loyalty_card", sa.Text, index=True),
        sa.Column("points", sa.BigInteger, nullable=False),
    )
