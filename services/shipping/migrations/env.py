"""Alembic's entry: `shipping`'s tables, run by the kit."""

from sagakit.store.migrate import run_env
from services.shipping.store import metadata

run_env(metadata)
