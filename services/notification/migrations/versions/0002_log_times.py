"""What was published is kept with the time that the broker took it."""

from alembic import op

from sagakit.store.migrate import kit_log_times

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    kit_log_times(op)
