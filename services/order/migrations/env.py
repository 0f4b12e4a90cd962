"""Alembic entry point for order's tables; the kit runs it."""

from sagakit.store.migrate import run_env
from services.order.store import metadata

run_env(metadata)
