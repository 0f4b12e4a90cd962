"""Add the log-append time to published events (`outbox_sent.logged_ms`)."""

from alembic import op

from sagakit.store.migrate import kit_log_times

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    kit_log_times(op)
