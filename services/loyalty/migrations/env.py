"""Alembic's entry: `loyalty`'s tables, run by the kit."""

from sagakit.store.migrate import run_env
from services.loyalty.store import metadata

run_env(metadata)
