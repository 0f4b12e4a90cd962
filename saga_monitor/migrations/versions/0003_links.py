"""Orders of a batch, and orders that another led to, are found by what their events say."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    for name in ("batch_id", "caused_by"):
        said = sa.text(f"(detail ->> '{name}')")
        where = sa.text(f"(detail ->> '{name}') IS NOT NULL")
        op.create_index(f"timeline_{name}", "timeline", [said], postgresql_where=where)
