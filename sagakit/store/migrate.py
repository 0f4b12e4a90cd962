"""Runs Alembic migrations at the start of a service, under a lock among its replicas."""

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
    """Upgrade a database to the newest revision of `scripts`.

    A database that newer code has upgraded further is left as it is: during a rolling deploy an old
    replica may restart.
    """
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
    """Run the migrations; this is the body of a service's `migrations/env.py`."""
    connection = context.config.attributes["connection"]
    context.configure(connection=connection, target_metadata=[KIT, metadata])
    with context.begin_transaction():
        context.run_migrations()


def kit_tables(op: Any) -> None:
    """Create the kit's tables; each service's first migration calls it."""
    KIT.create_all(op.get_bind())


def kit_log_times(op: Any) -> None:
    """Add `outbox_sent.logged_ms`; a new database has it from `kit_tables` already."""
    op.execute("ALTER TABLE outbox_sent ADD COLUMN IF NOT EXISTS logged_ms bigint")


Revision = Callable[[], None]
