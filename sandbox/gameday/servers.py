"""Faults of Kafka and PostgreSQL."""

from dataclasses import dataclass

from psycopg import sql

from sandbox.gameday.fault import Fault
from sandbox.gameday.site import Site
from sandbox.stack.processes import MONITOR

HOT_TABLES = ("inbox", "outbox", "effects")
HOT_TABLES_OF_MONITOR = ("saga", "stream_offset", "outbox")
CUT = sql.SQL(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


@dataclass(frozen=True, slots=True)
class Stopped(Fault):
    """Stopped in good order and gone for a while."""

    def inject(self, site: Site) -> None:
        site.stop(self.target)

    def heal(self, site: Site) -> None:
        site.start(self.target)


@dataclass(frozen=True, slots=True)
class ConnectionsCut(Fault):
    """PostgreSQL ends every connection to a service's database, wherever its transactions are:
    at once, and once more at the end, when all have come back."""

    def inject(self, site: Site) -> None:
        _cut(site, self.target)

    def heal(self, site: Site) -> None:
        _cut(site, self.target)


def _cut(site: Site, service: str) -> None:
    site.hold(service, CUT)
    site.let_go(service)


@dataclass(frozen=True, slots=True)
class TablesLocked(Fault):
    """Somebody else holds an exclusive lock on the tables that every transaction needs."""

    def inject(self, site: Site) -> None:
        tables = HOT_TABLES_OF_MONITOR if self.target == MONITOR else HOT_TABLES
        names = sql.SQL(", ").join(map(sql.Identifier, tables))
        lock = sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(names)
        site.hold(self.target, sql.SQL("SET lock_timeout = '5s'"), lock)

    def heal(self, site: Site) -> None:
        site.let_go(self.target)
