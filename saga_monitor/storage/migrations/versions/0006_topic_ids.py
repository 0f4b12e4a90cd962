"""Store the id of the topic that each offset belongs to."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("stream_offset", sa.Column("topic_id", sa.Text))
