"""Alembic's entry: `giftwrap`'s tables, run by the kit."""

from sagakit.migrations import run_env
from services.giftwrap.store import metadata

run_env(metadata)
