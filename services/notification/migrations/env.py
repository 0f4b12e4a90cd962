"""Alembic's entry: `notification`'s tables, run by the kit."""

from sagakit.migrations import run_env
from services.notification.store import metadata

run_env(metadata)
