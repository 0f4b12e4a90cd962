"""Alembic's entry: `inventory`'s tables, run by the kit."""

from sagakit.store.migrate import run_env
from services.inventory.store import metadata

run_env(metadata)
