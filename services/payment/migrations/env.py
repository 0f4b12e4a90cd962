"""Alembic entry point for payment's tables; the kit runs it."""

from sagakit.store.migrate import run_env
from services.payment.store import metadata

run_env(metadata)
