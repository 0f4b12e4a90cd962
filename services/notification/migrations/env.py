"""Alembic entry point for notification's tables; the kit runs it."""

from sagakit.store.migrate import run_env
from services.notification.store import metadata

run_env(metadata)
