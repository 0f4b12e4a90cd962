"""Alembic's environment; the work is the kit's."""

from saga_monitor.tables import metadata
from sagakit.migrations import run_env

run_env(metadata)
