"""Upgrades a database at the start of a process, under a lock among its replicas.

Two chains of Alembic revisions: the kit's tables (`migrations/` beside this module) and the
application's own. Each has a version table, so that a change of a kit table is one revision, not
one in each service. A revision's file is `<number>_<words>.py`, the number in four digits.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import Connection, Engine, text

from sagakit.errors import ConfigurationError

log = structlog.get_logger(__name__)
MIGRATION_LOCK = 0x5A6A_0002


@dataclass(frozen=True, slots=True)
class Chain:
    """Names a folder of revisions and the table that holds the revision a database is at."""

    folder: Path
    version_table: str

    def numbers(self) -> list[str]:
        """Return the numbers of the revisions, oldest first."""
        return sorted(path.name[:4] for path in self.folder.glob("[0-9][0-9][0-9][0-9]_*.py"))


KIT_CHAIN = Chain(Path(__file__).parent / "migrations", "sagakit_version")


def migrate(engine: Engine, own: Path | None = None) -> None:
    """Upgrade a database to the newest revision of the kit's chain, then of the one in `own`.

    `own`: the folder of the application's revisions, None if it has no tables of its own. A
    database that newer code has upgraded further is left as it is: during a rolling deploy an old
    replica may restart. Raises ConfigurationError if the database is at a revision that is neither
    known nor newer: it belongs to another application.
    """
    chains = [KIT_CHAIN, Chain(own, "alembic_version")] if own else [KIT_CHAIN]
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
        for chain in chains:
            _upgrade(connection, chain)


def _upgrade(connection: Connection, chain: Chain) -> None:
    known, found = chain.numbers(), _current(connection, chain.version_table)
    if not known:
        raise ConfigurationError(f"{chain.folder} holds no revision; name one 0001_<words>.py")
    if found == known[-1]:
        return
    if found is not None and found not in known:
        _tell_unknown(connection, chain, found, known[-1])
        return
    _run_alembic(connection, chain)


def _current(connection: Connection, table: str) -> str | None:
    """Return the revision a database is at, None before the first."""
    exists = connection.execute(text("SELECT to_regclass(:table)"), {"table": table}).scalar()
    return connection.execute(text(f"SELECT version_num FROM {table}")).scalar() if exists else None


def _tell_unknown(connection: Connection, chain: Chain, found: str, newest: str) -> None:
    """Log that the database is newer; raise ConfigurationError if it cannot be."""
    if found < newest:
        raise ConfigurationError(
            f"database {connection.engine.url.database} is at revision {found!r} of "
            f"{chain.version_table}, which {chain.folder} does not have; it belongs to another "
            "application or its chain was rewritten: correct SAGA_DATABASE_URL, or use an empty one"
        )
    log.warning(
        "the database is of newer code and left as it is",
        version_table=chain.version_table,
        revision=found,
        newest_known=newest,
    )


def _run_alembic(connection: Connection, chain: Chain) -> None:
    """Run the revisions that are missing, in the caller's transaction.

    Alembic is imported only here: a database that is at the newest revision does not need it.
    """
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.runtime.migration import MigrationContext, MigrationStep, RevisionStep
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(str(chain.folder), version_locations=[str(chain.folder)])

    def missing(found: Any, _: MigrationContext) -> list[RevisionStep]:
        revisions = reversed(list(scripts.iterate_revisions("head", found or None)))
        return [MigrationStep.upgrade_from_script(scripts.revision_map, r) for r in revisions]

    with EnvironmentContext(Config(), scripts, fn=missing) as environment:
        environment.configure(connection=connection, version_table=chain.version_table)
        environment.run_migrations()
