"""Index `batch_id` and `caused_by` of timeline events, to find related sagas."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    for table in ("timeline", "timeline_history"):
        for name in ("batch_id", "caused_by"):
            said = sa.text(f"(detail ->> '{name}')")
            where = sa.text(f"(detail ->> '{name}') IS NOT NULL")
            op.create_index(f"{table}_{name}", table, [said], postgresql_where=where)
