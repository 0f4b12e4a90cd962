"""Alembic's entry: `order`'s tables, run by the kit."""

from sagakit.store.migrate import run_env
from services.order.store import metadata

run_env(metadata)
