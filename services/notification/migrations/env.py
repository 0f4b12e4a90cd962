"""Alembic's entry: `notification`'s tables, run by the kit."""

from sagakit.store.migrate import run_env
from services.notification.store import metadata

run_env(metadata)
