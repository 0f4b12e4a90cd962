"""Alembic's entry: `payment`'s tables, run by the kit."""

from sagakit.migrations import run_env
from services.payment.store import metadata

run_env(metadata)
