"""Create `intervention`, filled from the timeline, and `said`, for what people said."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB, UUID

revision = "0002"
down_revision = "0001"

TIME = sa.DateTime(timezone=True)
# Interventions known already. Before this revision they could only be opened and resolved.
FILL = """
    INSERT INTO intervention (order_id, code, status, reason, opened_at, closed_at, entries)
    SELECT order_id, code,
           CASE WHEN resolved >= opened THEN 'resolved'
                WHEN ended_at IS NOT NULL THEN 'settled' ELSE 'open' END,
           reason, opened, CASE WHEN resolved >= opened THEN resolved ELSE ended_at END, entries
    FROM (
        SELECT t.order_id, t.detail->>'code' AS code, s.ended_at,
               max(t.at) FILTER (WHERE t.type = 'InterventionOpened') AS opened,
               max(t.at) FILTER (WHERE t.type = 'InterventionResolved') AS resolved,
               max(t.detail->>'reason') FILTER (WHERE t.type = 'InterventionOpened') AS reason,
               count(*) AS entries
        FROM timeline t JOIN saga s ON s.order_id = t.order_id
        WHERE t.type IN ('InterventionOpened', 'InterventionResolved')
        GROUP BY t.order_id, t.detail->>'code', s.ended_at
    ) AS known
    WHERE opened IS NOT NULL AND code IS NOT NULL
"""


def upgrade() -> None:
    op.create_table(
        "intervention",
        sa.Column("order_id", sa.Text(collation="C"), primary_key=True),
        sa.Column("code", sa.Text, primary_key=True),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("holder", sa.Text),
        sa.Column("opened_at", TIME, nullable=False),
        sa.Column("closed_at", TIME),
        sa.Column("entries", sa.Integer, nullable=False),
    )
    op.create_index("intervention_status", "intervention", ["status", "opened_at"])
    op.create_table(
        "said",
        sa.Column("id", UUID(as_uuid=True), primary_key=True),
        sa.Column("order_id", sa.Text(collation="C"), nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("words", JSONB, nullable=False),
        sa.Column("at", TIME, nullable=False),
    )
    op.execute(FILL)
