"""Create notification's tables."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "mailing",
        sa.Column("saga", sa.Text, primary_key=True),
        sa.Column("sent", JSONB, nullable=False),
    )
