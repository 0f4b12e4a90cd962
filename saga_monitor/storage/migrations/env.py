"""Run Alembic on the monitor's tables with the kit's environment."""

from saga_monitor.storage.tables import metadata
from sagakit.store.migrate import run_env

run_env(metadata)
