"""Alembic, the same way in every service: run at start, under a lock among replicas."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog
from alembic import command, context
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, MetaData, text

from sagakit.store.schema import KIT

log = structlog.get_logger(__name__)
MIGRATION_LOCK = 0x5A6A_0002


def migrate(engine: Engine, scripts: Path) -> None:
    """Bring a database to the newest revision of `scripts`. One that newer code has brought further
    is left as it is: in a rolling deploy an old replica may have to start once more."""
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
        config = Config()
        config.set_main_option("script_location", str(scripts).replace("%", "%%"))
        config.attributes["connection"] = connection
        ours = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
        found = MigrationContext.configure(connection).get_current_heads()
        if not ours.issuperset(found):
            log.warning("the database is of newer code and left as it is", revision=found)
            return
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


def kit_log_times(op: Any) -> None:
    """`outbox_sent` keeps the broker's time. A database made today has the column already."""
    op.execute("ALTER TABLE outbox_sent ADD COLUMN IF NOT EXISTS logged_ms bigint")


Revision = Callable[[], None]
