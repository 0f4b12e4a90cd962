"""Alembic, the same way in every service: run at start, under a lock among replicas."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from alembic import command, context
from alembic.config import Config
from sqlalchemy import Engine, MetaData, text

from sagakit.schema import KIT

MIGRATION_LOCK = 0x5A6A_0002


def migrate(engine: Engine, scripts: Path) -> None:
    """Bring a database to the newest revision of `scripts`."""
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
        config = Config()
        config.set_main_option("script_location", str(scripts).replace("%", "%%"))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def run_env(metadata: MetaData) -> None:
    """The body of a service's `migrations/env.py`."""
    connection = context.config.attributes["connection"]
    context.configure(connection=connection, target_metadata=[KIT, metadata])
    with context.begin_transaction():
        context.run_migrations()


def kit_tables(op: Any) -> None:
    """The kit's tables, first revision; called by each service's first migration."""
    KIT.create_all(op.get_bind())


Revision = Callable[[], None]
