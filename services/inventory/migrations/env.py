"""Alembic entry point for inventory's tables; the kit runs it."""

from sagakit.store.migrate import run_env
from services.inventory.store import metadata

run_env(metadata)
