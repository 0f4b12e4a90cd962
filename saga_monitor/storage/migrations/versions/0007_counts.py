"""Rebuild indexes so that lists and counts read only the rows they return."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

NEWEST = sa.text("updated_at DESC NULLS LAST")


def upgrade() -> None:
    op.drop_index("saga_next_deadline", "saga")
    op.create_index(
        "saga_next_deadline",
        "saga",
        [sa.text("next_deadline NULLS FIRST")],
        postgresql_where=sa.text(
            "next_deadline IS NOT NULL OR status NOT IN ('completed', 'cancelled')"
        ),
    )
    op.drop_index("saga_status", "saga")
    op.create_index("saga_status", "saga", ["status", NEWEST])
    op.create_index(
        "saga_flow",
        "saga",
        ["status", "flow", "started_at"],
        postgresql_include=["version", "captured_minor", "refunded_minor"],
    )
    op.drop_index("saga_history_updated_at", "saga_history")
    op.create_index("saga_history_status", "saga_history", ["status", NEWEST])
    op.create_index("ix_said_at", "said", ["at"])
