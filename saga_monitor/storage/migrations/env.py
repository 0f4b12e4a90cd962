"""Alembic's environment; the work is the kit's."""

from saga_monitor.storage.tables import metadata
from sagakit.store.migrate import run_env

run_env(metadata)
