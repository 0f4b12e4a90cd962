"""Alembic's entry: `giftwrap`'s tables, run by the kit."""

from sagakit.store.migrate import run_env
from services.giftwrap.store import metadata

run_env(metadata)
