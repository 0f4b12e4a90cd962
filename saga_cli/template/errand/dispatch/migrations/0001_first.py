"""Create dispatch's table. A changed column is a new file: 0002_..., with `down_revision`."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "reservation",
        sa.Column("saga", sa.Text, primary_key=True),
        sa.Column("phase", sa.Text, nullable=False),
        sa.Column("runner", sa.Text, nullable=False),
    )
