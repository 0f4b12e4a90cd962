"""Faults of Kafka and PostgreSQL."""

import signal
from dataclasses import dataclass

from psycopg import sql

from sandbox.gameday.fault import Fault
from sandbox.gameday.site import Site
from sandbox.stack.processes import MONITOR
from sandbox.stack.topics import out_of_step

HOT_TABLES = ("inbox", "outbox", "effects")
HOT_TABLES_OF_MONITOR = ("saga", "stream_offset", "outbox")
CUT = sql.SQL(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


@dataclass(frozen=True, slots=True)
class AllStopped(Fault):
    """Every broker stopped in good order and gone for a while."""

    def inject(self, site: Site) -> None:
        site.stop(*site.brokers)

    def heal(self, site: Site) -> None:
        site.start(*site.brokers)

    def healed(self, site: Site) -> bool:
        return all(map(site.ready, site.brokers)) and not out_of_step(site.bootstrap_servers)


@dataclass(frozen=True, slots=True)
class BrokerLost(Fault):
    """One broker of several is killed and kept away; then it comes back and catches up."""

    def inject(self, site: Site) -> None:
        site.signal(self.target, signal.SIGKILL)
        site.stop(self.target)  # before the supervisor's next one has done anything

    def heal(self, site: Site) -> None:
        site.start(self.target)

    def healed(self, site: Site) -> bool:
        return site.ready(self.target) and not out_of_step(site.bootstrap_servers)


@dataclass(frozen=True, slots=True)
class LeaderMoved(BrokerLost):
    """A broker stops in good order, so every partition it leads moves to another; when it is back
    and has caught up, the controller elects it again as the leader of those it is preferred for."""

    def inject(self, site: Site) -> None:
        site.stop(self.target)

    def healed(self, site: Site) -> bool:
        return site.ready(self.target) and not out_of_step(site.bootstrap_servers, leaders=True)


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
