"""Alembic's entry: `payment`'s tables, run by the kit."""

from sagakit.store.migrate import run_env
from services.payment.store import metadata

run_env(metadata)
