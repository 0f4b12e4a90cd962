"""Alembic entry point for shipping's tables; the kit runs it."""

from sagakit.store.migrate import run_env
from services.shipping.store import metadata

run_env(metadata)
