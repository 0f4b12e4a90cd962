"""Alembic entry point for fraud's tables; the kit runs it."""

from sagakit.store.migrate import run_env
from services.fraud.store import metadata

run_env(metadata)
