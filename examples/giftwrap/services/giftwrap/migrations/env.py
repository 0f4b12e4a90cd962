"""Alembic's entry point for giftwrap's tables; the kit runs the migrations."""

from sagakit.store.migrate import run_env
from services.giftwrap.store import metadata

run_env(metadata)
