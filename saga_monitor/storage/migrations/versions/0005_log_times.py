"""What was published is kept with the time that the broker took it."""

from alembic import op

from sagakit.store.migrate import kit_log_times

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    kit_log_times(op)
