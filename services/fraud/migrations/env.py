"""Alembic's entry: `fraud`'s tables, run by the kit."""

from sagakit.store.migrate import run_env
from services.fraud.store import metadata

run_env(metadata)
