"""Alembic entry point for loyalty's tables; the kit runs it."""

from sagakit.store.migrate import run_env
from services.loyalty.store import metadata

run_env(metadata)
