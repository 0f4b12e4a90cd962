"""Alembic's entry: `order`'s tables, run by the kit."""

from sagakit.migrations import run_env
from services.order.store import metadata

run_env(metadata)
