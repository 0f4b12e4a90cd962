"""Store the broker's log-append time with each published outbox row."""

from alembic import op

from sagakit.store.migrate import kit_log_times

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    kit_log_times(op)
